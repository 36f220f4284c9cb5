package job

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// envelope holds the fields by which the forms of message differ.
type envelope struct {
	Version int             `json:"v"`
	Records json.RawMessage `json:"Records"`     // S3 notification
	Event   string          `json:"Event"`       // s3:TestEvent
	Type    string          `json:"Type"`        // SNS
	Message string          `json:"Message"`     // SNS
	Detail  json.RawMessage `json:"detail"`      // EventBridge
	Kind    string          `json:"detail-type"` // EventBridge
}

// Parse reads a message. An S3 notification may hold several recordings, or
// none that concern us: then the message is done with. An error is final: no
// later attempt can read the message either.
func Parse(body []byte) ([]Task, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("read message: it is not JSON of a form that we know: %w", err)
	}
	switch {
	case e.Type == "Notification" && e.Message != "":
		return Parse([]byte(e.Message))
	case e.Records != nil:
		return parseRecords(e.Records)
	case e.Event == "s3:TestEvent": // sent when a notification is configured
		return nil, nil
	case e.Detail != nil:
		return parseEventBridge(e.Kind, e.Detail)
	}
	var t Task
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return []Task{t}, nil
}

/*
An S3 notification. The key is form-encoded ("+" is a space); it is decoded
exactly once.

	{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:CompleteMultipartUpload",
	  "s3":{"bucket":{"name":"recs"},"object":{"key":"recordings/live/a+b.flv","size":1024,"eTag":"9b2c","sequencer":"0055"}}}]}
*/
type s3Record struct {
	EventName string `json:"eventName"`
	S3        struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key  string `json:"key"`
			ETag string `json:"eTag"`
		} `json:"object"`
	} `json:"s3"`
}

func parseRecords(raw json.RawMessage) ([]Task, error) {
	var records []s3Record
	if err := json.Unmarshal(raw, &records); err != nil {
		return nil, fmt.Errorf("read S3 notification: %w", err)
	}
	var tasks []Task
	for _, r := range records {
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, fmt.Errorf("read S3 notification: key %q: %w", r.S3.Object.Key, err)
		}
		name := strings.TrimPrefix(r.EventName, "s3:")
		if t, ok := created(strings.HasPrefix(name, "ObjectCreated:"), r.S3.Bucket.Name, key, r.S3.Object.ETag); ok {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

/*
The same through EventBridge, where the key is as it is:

	{"detail-type":"Object Created","detail":{"bucket":{"name":"recs"},"object":{"key":"recordings/live/a b.flv","etag":"9b2c"}}}
*/
type eventBridgeDetail struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key  string `json:"key"`
		ETag string `json:"etag"`
	} `json:"object"`
}

func parseEventBridge(kind string, raw json.RawMessage) ([]Task, error) {
	var d eventBridgeDetail
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("read EventBridge event: %w", err)
	}
	if t, ok := created(kind == "Object Created", d.Bucket.Name, d.Object.Key, d.Object.ETag); ok {
		return []Task{t}, nil
	}
	return nil, nil
}

// created is the task for a new object, unless it is no recording: something
// else in the bucket, perhaps our own output.
func created(isNew bool, bucket, key, etag string) (Task, bool) {
	t := Task{Version: Version, Kind: Recording, Bucket: bucket, Key: key, ETag: strings.Trim(etag, `"`), Notified: true}
	return t, isNew && IsFLV(key) && ValidKey(key) == nil
}
