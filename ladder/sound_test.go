package ladder

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"afterlive/internal/flv"
)

// What loudnorm says, as ffmpeg 5.1 puts it.
const said = `[Parsed_loudnorm_1 @ 0x5581] [info] 
{
	"input_i" : "-31.22",
	"input_tp" : "-13.80",
	"input_lra" : "8.40",
	"input_thresh" : "-41.65",
	"output_i" : "-16.08",
	"output_tp" : "-1.00",
	"output_lra" : "7.00",
	"output_thresh" : "-26.40",
	"normalization_type" : "dynamic",
	"target_offset" : "0.08"
}
[info] video:0kB audio:3750kB subtitle:0kB other streams:0kB global headers:0kB muxing overhead: unknown`

func TestParseLoudness(t *testing.T) {
	want := &Loudness{Integrated: -31.22, Range: 8.4, Peak: -13.8, Threshold: -41.65, Offset: 0.08}
	if m, err := ParseLoudness(said); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, %v", m, err)
	}
	silence := strings.NewReplacer("-31.22", "-inf", "-13.80", "-inf", "-41.65", "-70.00", "0.08", "inf").Replace(said)
	if m, err := ParseLoudness(silence); err != nil || m != nil {
		t.Errorf("silence is %+v, %v", m, err)
	}
	for _, bad := range []string{"", "}{", "{", "{}", strings.Replace(said, "input_lra", "lra", 1), said[:100] + "}"} {
		if m, err := ParseLoudness(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, m)
		}
	}
}

func TestLoudnessArgs(t *testing.T) {
	own := profile(t, "flat")
	own.Loudness = -16
	p := plan(t, index(1280, 720, flv.Rate{Num: 25, Den: 1}, time.Minute, 2*time.Second), own)
	golden(t, "args-loudness.txt", strings.Join(p.LoudnessArgs(), "\n")+"\n")
	golden(t, "args-audio-loudness.txt", strings.Join(p.AudioArgs(&Loudness{Integrated: -31.22, Range: 8.4, Peak: -13.8, Threshold: -41.65, Offset: 0.08}), "\n")+"\n")
	if quiet := p.AudioArgs(nil); strings.Contains(strings.Join(quiet, " "), "loudnorm") {
		t.Error("silence is made louder")
	}
}
