package flv

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// rolled is a recording of 20 s as a recorder leaves it that starts a new file every
// 5 s: each with its own clock, from 0.
func rolled() (whole *Index, parts []Part) {
	r := newRecording().headers()
	r.seconds(0, 20, 25)
	whole, err := Scan(bytes.NewReader(r.Bytes()))
	if err != nil {
		panic(err)
	}
	began := time.Unix(1764000000, 0)
	for i := range 4 {
		p := newRecording()
		p.tag(tagScript, 0, []byte("\x02\x00\x0aonMetaData\x05"))
		p.headers()
		p.frame(0, false, 0, 500) // which cannot be decoded
		p.seconds(0, 5, 25)
		body := p.Bytes()
		if i == 1 { // torn
			body = append(body, 9, 0, 200, 0, 0)
		}
		if i == 2 { // damaged
			body = append(bytes.Clone(body[:len(body)-700]), append([]byte{1, 2, 3}, body[len(body)-700:]...)...)
		}
		parts = append(parts, Part{Name: string(rune('a' + i)), Start: began.Add(time.Duration(i) * 5 * time.Second), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }})
	}
	return whole, parts
}

func TestJoin(t *testing.T) {
	whole, parts := rolled()
	join := func(parts ...Part) *Index {
		t.Helper()
		var out bytes.Buffer
		if _, err := Join(&out, parts); err != nil {
			t.Fatal(err)
		}
		return scan(t, out.Bytes())
	}
	all := join(parts...)
	if all.Epochs() != 1 || len(all.Gaps) > 0 || (all.Duration-whole.Duration).Abs() > 50*time.Millisecond ||
		all.Video.Frames < whole.Video.Frames-2 || len(all.Video.Keyframes) < len(whole.Video.Keyframes)-1 || len(all.Damage) > 0 || all.Size != all.End {
		t.Errorf("joined: %d epochs, %s, %d frames of %d, %d keyframes of %d", all.Epochs(), all.Duration, all.Video.Frames, whole.Video.Frames, len(all.Video.Keyframes), len(whole.Video.Keyframes))
	}
	for i, k := range all.Video.Keyframes[:10] {
		if off := (k.PTS - whole.Video.Keyframes[i].PTS).Abs(); off > 50*time.Millisecond {
			t.Errorf("keyframe %d is off by %s", i, off)
		}
	}
	// The second part is missing: its time is closed up, and told of.
	some := join(parts[0], parts[2], parts[3])
	if len(some.Gaps) != 1 || (some.Gaps[0].At-5*time.Second).Abs() > 60*time.Millisecond || (some.Gaps[0].Lost-5*time.Second).Abs() > 60*time.Millisecond ||
		(some.Duration-15*time.Second).Abs() > 100*time.Millisecond {
		t.Errorf("with a part missing: %s, gaps %v", some.Duration, some.Gaps)
	}
	var out bytes.Buffer
	if notes, err := Join(&out, []Part{parts[0], parts[2]}); err != nil || len(notes) != 1 || !strings.HasPrefix(notes[0], "5s before c are missing") {
		t.Errorf("notes %q, %v", notes, err)
	}
	if _, err := Join(&out, []Part{parts[1], parts[0]}); err == nil || !strings.Contains(err.Error(), "in order") {
		t.Errorf("in the wrong order: %v", err)
	}
	nothing := Part{Name: "nothing", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(newRecording().headers().Bytes())), nil
	}}
	if empty, err := Join(&out, []Part{parts[0], nothing, parts[1]}); err != nil || len(empty) != 1 || !strings.HasPrefix(empty[0], "nothing ") {
		t.Errorf("with a part that holds nothing: %q, %v", empty, err)
	}
	if _, err := Join(&out, []Part{nothing, nothing}); err == nil {
		t.Error("nothing was joined to nothing")
	}
	parts[0].Start = time.Time{} // nobody knows: then they follow each other
	if x := join(parts[0], parts[3]); len(x.Gaps) > 0 {
		t.Errorf("gaps %v", x.Gaps)
	}
}
