package job_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"afterlive.alt/job"
)

func ExampleParse() {
	for _, body := range []string{
		`{"v":1,"kind":"recording","bucket":"recs","key":"recordings/live/talk-1764000000.flv","etag":"9b2c","profile":"auto"}`,
		`{"v":1,"kind":"chunk","job":"1f0c77d2a1b94c3e","chunk":3}`,
		`{"v":1,"kind":"audio","job":"1f0c77d2a1b94c3e","failures":1}`,
		`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:CompleteMultipartUpload",
		  "s3":{"bucket":{"name":"recs"},"object":{"key":"recordings/live/a+b.flv","size":1024,"eTag":"9b2c","sequencer":"0055"}}}]}`,
		`{"detail-type":"Object Created","detail":{"bucket":{"name":"recs"},"object":{"key":"recordings/live/a b.flv","etag":"9b2c"}}}`,
	} {
		tasks, err := job.Parse([]byte(body))
		if err != nil {
			fmt.Println(err)
			continue
		}
		t := tasks[0]
		fmt.Println(strings.TrimSpace(strings.Join([]string{t.Name(), t.Job, t.Bucket, t.Key}, " ")))
	}
	// Output:
	// recording  recs recordings/live/talk-1764000000.flv
	// chunk-00003 1f0c77d2a1b94c3e
	// audio-00000 1f0c77d2a1b94c3e
	// recording  recs recordings/live/a b.flv
	// recording  recs recordings/live/a b.flv
}

func TestParseTakesBackWhatItWrote(t *testing.T) {
	for _, task := range []job.Task{
		{Kind: job.Recording, Bucket: "b", Key: "recordings/señal/☃ +%2B.flv", ETag: "e", Profile: "360"},
		{Kind: job.Chunk, Job: "1f0c77d2a1b94c3e", Chunk: 12345, Failures: 3},
		{Kind: job.Audio, Job: "1f0c77d2a1b94c3e"},
	} {
		got, err := job.Parse(task.Body())
		task.Version = job.Version
		if err != nil || len(got) != 1 || got[0] != task {
			t.Errorf("%+v came back as %+v, %v", task, got, err)
		}
	}
}

func s3Event(name, key string) string {
	return `{"eventName":"` + name + `","s3":{"bucket":{"name":"recs"},"object":{"key":"` + key + `","eTag":"\"e\""}}}`
}

func TestParseNotifications(t *testing.T) {
	records := func(all ...string) string { return `{"Records":[` + strings.Join(all, ",") + `]}` }
	sns := func(message string) string {
		quoted, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		return `{"Type":"Notification","TopicArn":"arn","Message":` + string(quoted) + `}`
	}
	for _, tc := range []struct {
		name, body string
		keys       string // of the tasks
	}{
		{"put", records(s3Event("ObjectCreated:Put", "recordings/a.flv")), "recordings/a.flv"},
		{"with the prefix that other servers add", records(s3Event("s3:ObjectCreated:Put", "recordings/a.flv")), "recordings/a.flv"},
		{"several", records(s3Event("ObjectCreated:Put", "recordings/a.flv"), s3Event("ObjectCreated:Copy", "recordings/b.flv")), "recordings/a.flv recordings/b.flv"},
		{"in capitals", records(s3Event("ObjectCreated:Put", "recordings/A.FLV")), "recordings/A.FLV"},
		{"none", `{"Records":[]}`, ""},
		{"decoded once", records(s3Event("ObjectCreated:Put", "recordings/a%252Bb%2Bc+d.flv")), "recordings/a%2Bb+c d.flv"},
		{"removed", records(s3Event("ObjectRemoved:Delete", "recordings/a.flv")), ""},
		{"our own output", records(s3Event("ObjectCreated:Put", "vod/a/master.m3u8"), s3Event("ObjectCreated:Put", "vod/a.flv")), ""},
		{"no recording", records(s3Event("ObjectCreated:Put", "recordings/a.txt")), ""},
		{"dotted", records(s3Event("ObjectCreated:Put", "recordings/../jobs/a.flv")), ""},
		{"through SNS", sns(records(s3Event("ObjectCreated:Put", "recordings/a.flv"))), "recordings/a.flv"},
		{"test event", `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"recs"}`, ""},
		{"test event through SNS", sns(`{"Service":"Amazon S3","Event":"s3:TestEvent"}`), ""},
		{"EventBridge, not decoded", `{"detail-type":"Object Created","detail":{"bucket":{"name":"recs"},"object":{"key":"recordings/a%20b+c.flv","etag":"e"}}}`, "recordings/a%20b+c.flv"},
		{"EventBridge, deleted", `{"detail-type":"Object Deleted","detail":{"bucket":{"name":"recs"},"object":{"key":"recordings/a.flv"}}}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tasks, err := job.Parse([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, task := range tasks {
				keys = append(keys, task.Key)
				if task.Kind != job.Recording || task.Bucket != "recs" || task.ETag != "e" {
					t.Errorf("task %+v", task)
				}
			}
			if got := strings.Join(keys, " "); got != tc.keys {
				t.Errorf("got %q, want %q", got, tc.keys)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	recording := func(key string) string { return string(job.Task{Kind: job.Recording, Key: key}.Body()) }
	for name, body := range map[string]string{
		"nothing":                  "",
		"no JSON":                  "recordings/a.flv",
		"a list":                   "[]",
		"no version":               `{"kind":"audio","job":"1f0c77d2a1b94c3e"}`,
		"a version to come":        `{"v":2,"kind":"audio","job":"1f0c77d2a1b94c3e"}`,
		"no kind":                  `{"v":1,"job":"1f0c77d2a1b94c3e"}`,
		"another kind":             `{"v":1,"kind":"delete","job":"1f0c77d2a1b94c3e"}`,
		"no job":                   `{"v":1,"kind":"audio"}`,
		"a path for a job":         `{"v":1,"kind":"audio","job":"../../../../etc/x"}`,
		"a negative chunk":         `{"v":1,"kind":"chunk","job":"1f0c77d2a1b94c3e","chunk":-1}`,
		"fewer failures than none": `{"v":1,"kind":"audio","job":"1f0c77d2a1b94c3e","failures":-1}`,
		"fewer, of a recording":    `{"v":1,"kind":"recording","key":"recordings/a.flv","failures":-1}`,
		"no key":                   recording(""),
		"a key elsewhere":          recording("vod/a.flv"),
		"dots in the key":          recording("recordings/a/../../x.flv"),
		"nothing but dots":         recording("recordings/...flv"),
		"an empty element":         recording("recordings//a.flv"),
		"a NUL":                    recording("recordings/a\x00.flv"),
		"a line feed":              recording("recordings/a\nb.flv"),
		"a very long key":          recording("recordings/" + strings.Repeat("x", 1000) + ".flv"),
		"records of no form":       `{"Records":7}`,
		"a key badly encoded":      `{"Records":[` + s3Event("ObjectCreated:Put", "recordings/a%zz.flv") + `]}`,
		"SNS around nothing":       `{"Type":"Notification","Message":"hello"}`,
	} {
		if tasks, err := job.Parse([]byte(body)); err == nil {
			t.Errorf("%s: taken for %+v", name, tasks)
		}
	}
}

func TestID(t *testing.T) {
	a := job.ID("b", "recordings/a.flv", "e", "auto")
	if len(a) != 16 || a != job.ID("b", "recordings/a.flv", "e", "auto") {
		t.Errorf("id %q", a)
	}
	for _, other := range []string{
		job.ID("c", "recordings/a.flv", "e", "auto"), job.ID("b", "recordings/b.flv", "e", "auto"),
		job.ID("b", "recordings/a.flv", "f", "auto"), job.ID("b", "recordings/a.flv", "e", "360"), job.ID("br", "ecordings/a.flv", "e", "auto"),
	} {
		if other == a {
			t.Error("different jobs have the same id")
		}
	}
	for _, key := range []string{"recordings/live/talk.1.flv", "recordings/live/talk.1.FLV"} {
		if got := job.Asset(key); got != "live/talk.1" {
			t.Errorf("asset %q", got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"kind":"recording","key":"recordings/a.flv"}`))
	f.Add([]byte(`{"Records":[` + s3Event("ObjectCreated:Put", "recordings/a+b.flv") + `]}`))
	f.Add([]byte(`{"Type":"Notification","Message":"{\"Records\":[]}"}`))
	f.Add([]byte(`{"detail-type":"Object Created","detail":{"object":{"key":"recordings/x.flv"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tasks, err := job.Parse(body)
		if err != nil {
			return
		}
		for _, task := range tasks {
			if task.Kind == job.Recording && (!strings.HasPrefix(task.Key, job.Prefix) || strings.Contains(task.Key, "/../") || job.Asset(task.Key) == "") {
				t.Errorf("task with key %q", task.Key)
			}
			again, err := job.Parse(task.Body())
			if err != nil || len(again) != 1 {
				t.Errorf("%+v cannot be sent on: %v", task, err)
			}
		}
	})
}
