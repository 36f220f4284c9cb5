package webhook

import (
	"net/url"
	"strings"
	"time"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// Event is what others are told, as JSON. ID is the same whenever it is told again.
type Event struct {
	ID   string    `json:"id"`
	Type string    `json:"type"` // recording.live, recording.ready, recording.failed, recording.removed
	Time time.Time `json:"timestamp"`
	Data Data      `json:"data"`

	number int // of the change
}

// Data is how the recording stands when that is told, which may be later than when it happened.
type Data struct {
	Asset       string        `json:"asset"`
	Title       string        `json:"title,omitempty"`
	Job         string        `json:"job"`
	Profile     string        `json:"profile"`
	Recording   string        `json:"recording,omitempty"` // its key
	State       catalog.State `json:"state"`
	Duration    float64       `json:"duration_s"`
	URL         string        `json:"url,omitempty"` // its stable multivariant playlist, where it is known where vod/ is
	Poster      string        `json:"poster,omitempty"`
	Projections []string      `json:"projections,omitempty"`
	Abandoned   bool          `json:"abandoned,omitempty"`
	Missing     int           `json:"missing,omitempty"`
	Task        string        `json:"task,omitempty"` // that failed
	Reason      string        `json:"reason,omitempty"`
	Detail      string        `json:"detail,omitempty"`
	Advice      string        `json:"advice,omitempty"`
}

func (s *Sender) event(kind, id string, number int, at time.Time, of catalog.Status) Event {
	d := Data{
		Asset: of.Asset, Title: of.Title, Job: of.Job, Profile: of.Profile, Recording: of.Recording, State: of.State, Duration: of.Duration, Poster: s.address(of.Poster),
		Projections: of.Projections, Abandoned: of.Abandoned, Missing: of.Missing, Task: of.Task, Reason: of.Reason, Detail: of.Detail,
		Advice: strings.NewReplacer("JOB", of.Job, "ASSET", of.Asset).Replace(job.Advice(of.Reason)),
	}
	if kind == "live" || kind == "ready" {
		d.URL = s.address(ladder.StableMasterKey(of.Asset))
	}
	return Event{ID: id, Type: "recording." + kind, Time: at, Data: d, number: number}
}

// escaped is a key as a part of an address.
func escaped(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
