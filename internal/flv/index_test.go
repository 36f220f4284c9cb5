package flv

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// What comes from outside is held against what a scan can say.
func TestForeignIndex(t *testing.T) {
	r := newRecording().headers()
	for i := range int64(90) {
		r.frame(i*33, i%30 == 0, 0, 50)
		r.audio(i*33, 5)
	}
	x, err := Scan(bytes.NewReader(r.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	good, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseIndex(good, x.Size); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, old, new string }{
		{"no JSON", "{", ""},
		{"another version", `"v":4`, `"v":3`},
		{"another size", `"size":`, `"size":1`},
		{"end behind the file", `"end":`, `"end":1`},
		{"no duration", `"duration":`, `"duration":-`},
		{"centuries", `"duration":`, `"duration":99999999`},
		{"no epochs", `"epochs":[{"offset":`, `"epochs":[],"e":[{"offset":`},
		{"no tracks", `"video":`, `"v1":{},"audio":null,"v2":`},
		{"endless rate", `"rate":{"num":30,"den":1}`, `"rate":{"num":30,"den":0}`},
		{"huge frame", `"width":640`, `"width":64000`},
		{"negative aspect", `"sar_num":1`, `"sar_num":-1`},
		{"no frames", `"frames":90,"first":`, `"frames":0,"first":`},
		{"first behind last", `"first":`, `"first":99999999999`},
		{"no keyframes", `"keyframes":[[`, `"keyframes":[],"k":[[`},
		{"a keyframe outside", `"keyframes":[[`, `"keyframes":[[99999`},
		{"a keyframe in centuries", `"keyframes":[[`, `"keyframes":[[1,9000000000000000,0],[`},
		{"the video ends before its last keyframe", `}],"end":`, `}],"end":13,"e":`},
		{"the video ends outside", `}],"end":`, `}],"end":9999`},
		{"no configuration", `"headers":[`, `"headers":[],"h":[`},
		{"silent clock", `"sample_rate":51200`, `"sample_rate":0`},
		{"strange audio", `"codec":"aac"`, `"codec":"opus"`},
		{"audio of endless tags", `"marks":[[`, `"marks":[[13,0,0,0],[14,1000000000000000000,5,0],[`},
		{"audio that runs back", `],[`, `],[9999,1,-5000000000,0],[`},
		{"audio outside", `"marks":[[`, `"marks":[[999999`},
		{"damage outside", `"duration":`, `"damage":[{"from":-5,"to":3}],"duration":`},
	} {
		bad := strings.Replace(string(good), tc.old, tc.new, 1)
		if bad == string(good) {
			t.Fatalf("%s: %q is not in the index", tc.name, tc.old)
		}
		if tc.name == "no tracks" {
			bad = strings.Replace(bad, `,"audio":{`, `,"a":{`, 1)
		}
		if _, err := ParseIndex([]byte(bad), x.Size); !errors.Is(err, ErrForeignIndex) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
