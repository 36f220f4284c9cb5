package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is no recording is refused before anything is uploaded, with the reason; unless one insists.
func TestSendRefusesWhatIsNoRecording(t *testing.T) {
	b := newBox(t)
	for name, tc := range map[string]struct{ body, says string }{
		"a diary":        {"Dear diary, today I was streamed.", "an FLV"},
		"nothing":        {"", "the file is empty"},
		"an MP4":         {"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "an FLV"},
		"nothing to see": {"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00", "neither picture nor sound"},
	} {
		t.Run(name, func(t *testing.T) {
			file := b.record("talk.flv", tc.body)
			_, err := b.run("send", file, "--as", "talk")
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "cannot be published") || !strings.Contains(err.Error(), "--force") {
				t.Errorf("it says %v", err)
			}
			if left, err := filepath.Glob(b.data + "/recordings/*"); err != nil || len(left) > 0 || len(b.sent()) > 0 {
				t.Errorf("uploaded: %v, %v", left, err)
			}
		})
	}
	file := b.record("talk.flv", "Dear diary")
	b.must("send", "--force", file, "--as", "talk")
	if _, err := os.Stat(b.data + "/recordings/talk.flv"); err != nil || len(b.sent()) != 1 {
		t.Errorf("not sent: %v", err)
	}
}
