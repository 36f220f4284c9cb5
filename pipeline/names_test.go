package pipeline

import (
	"strings"
	"testing"

	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// A recording whose results would lie within another asset, or replace that of another
// recording, is refused before it is read; and should two have been planned at once, the
// second when it would be published.
func TestNamesInTheWay(t *testing.T) {
	p, store, queue := newSmall(t, smallRecording(t))
	must(t, queue.Send(t.Context(), smallTask.Body(), 0))
	drain(t, p, queue)
	checkPublished(t, store)
	plan := onlyPlan(t, store)
	for name, want := range map[string]string{
		"live/talk/master.m3u8.flv":           "master.m3u8",
		"live/talk/asset.json/x.flv":          "asset.json",
		"live/talk/" + plan.Job + "/flat.flv": "in the folder of a job",
		"live/talk.FLV":                       "made from the recording recordings/live/talk.flv",
	} {
		task := job.Task{Kind: job.Recording, Key: job.Prefix + name, Profile: "stitch"}
		store.Put(task.Key, []byte("FLV"))
		err := p.Do(t.Context(), task, nil)
		if reason, final := job.Verdict(err); reason != "name_taken" || !final || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkPublished(t, store)

	other := *plan.Plan
	other.Job, other.Recording.Key, other.Created = "0123456789abcdef", "recordings/live/talk.FLV", plan.Created.Add(1)
	err := p.point(t.Context(), &other, ladder.Asset{Job: other.Job, Planned: other.Created, Recording: other.Recording.Key})
	if reason, _ := job.Verdict(err); reason != "name_taken" {
		t.Errorf("replaced by another recording: %v", err)
	}
	checkPublished(t, store)
}
