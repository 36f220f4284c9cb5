package ladder

import (
	"strings"
	"testing"
	"time"

	"afterlive.alt/internal/flv"
)

// steadyAudio gives a recording AAC-LC in stereo, which begins at a moment and has so many bits a second.
func steadyAudio(x *flv.Index, begins time.Duration, rate int) {
	a := x.Audio
	a.Headers[0].Body = []byte{0xaf, 0, 0x12, 0x10}
	a.Frames = 43 * int(x.Duration/time.Second)
	a.Bytes = int64(rate/8) * int64(x.Duration/time.Second)
	for i := range a.Marks {
		m := &a.Marks[i]
		m.Tag = a.Frames * i / (len(a.Marks) - 1)
		m.At = begins + time.Duration(float64(m.Tag)*PacketSamples/44100*1e9)
		m.Run = begins
	}
}

// What can be copied is copied, what cannot is encoded, and why is said.
func TestAudioIsCopied(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mode  AudioMode
		rate  int
		spoil func(x *flv.Index, p *Profile)
		fault string
	}{
		{name: "as recorded", rate: 128_000},
		{name: "a little more than wanted", rate: 159_000},
		{name: "much more than wanted", rate: 192_000, fault: "192 kb/s"},
		{name: "much more, as demanded", mode: AudioCopy, rate: 300_000},
		{name: "more than anybody needs", mode: AudioCopy, rate: 400_000, fault: "at most 320"},
		{name: "it grows", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) { x.Open = true }, fault: "still growing"},
		{name: "loudness", rate: 128_000, spoil: func(_ *flv.Index, p *Profile) { p.Loudness = -16 }, fault: "loudness"},
		{name: "HE-AAC", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) { x.Audio.Headers[0].Body = []byte{0xaf, 0, 0x2b, 0x92, 0x08, 0} }, fault: "not AAC-LC"},
		{name: "mono", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) { x.Audio.Headers[0].Body = []byte{0xaf, 0, 0x12, 0x08} }, fault: "not AAC-LC"},
		{name: "960 samples", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) { x.Audio.Headers[0].Body = []byte{0xaf, 0, 0x12, 0x14} }, fault: "not AAC-LC"},
		{name: "two configurations", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) {
			x.Audio.Headers = append(x.Audio.Headers, x.Audio.Headers[0])
		}, fault: "one configuration"},
		{name: "MP3", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) { x.Audio.Codec, x.Audio.Format, x.Audio.Headers = "mp3", 2, nil }, fault: "not AAC-LC"},
		{name: "32 kHz", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) { x.Audio.SampleRate = 32000 }, fault: "32000 Hz"},
		{name: "a hole", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) { x.Audio.Marks[3].At += 200 * time.Millisecond }, fault: "holes"},
		{name: "drift", rate: 128_000, spoil: func(x *flv.Index, _ *Profile) {
			for i := range x.Audio.Marks {
				x.Audio.Marks[i].At += x.Audio.Marks[i].At / 1e5
			}
		}, fault: "drifts"},
		{name: "an index of before", fault: "doesn't say"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			own := profile(t, "flat")
			if tc.mode != "" {
				own.Audio.Mode = tc.mode
			}
			x := index(1280, 720, flv.Rate{Num: 25, Den: 1}, 2*time.Minute, 2*time.Second)
			steadyAudio(x, 40*time.Millisecond, tc.rate)
			if tc.spoil != nil {
				tc.spoil(x, &own)
			}
			p, err := New(x, own, Trim{})
			if err != nil {
				t.Fatal(err)
			}
			got := p.Audio.Copy
			if tc.fault == "" && (got.Fault != "" || !p.Audio.Renditions[0].Copy || p.Version != PlanGrown || p.Audio.Renditions[1].Copy) {
				t.Errorf("it is not copied: %q, plan %+v of version %d", got.Fault, p.Audio, p.Version)
			}
			if tc.fault != "" && (!strings.Contains(got.Fault, tc.fault) || p.Audio.Renditions[0].Copy) {
				t.Errorf("it is copied, or for another reason not: %q", got.Fault)
			}
			// 40 ms are 1,764 samples: the first tag is heard 740 samples behind where packet 1 would be.
			if tc.fault == "" && (got.First != 2 || got.Shift != 740) {
				t.Errorf("its first tag is packet %d, shifted by %d", got.First, got.Shift)
			}
		})
	}
	encode := profile(t, "flat")
	encode.Audio.Mode = AudioEncode
	x := index(1280, 720, flv.Rate{Num: 25, Den: 1}, time.Minute, 2*time.Second)
	steadyAudio(x, 0, 128_000)
	if p, err := New(x, encode, Trim{}); err != nil || p.Audio.Copy != nil {
		t.Errorf("it is copied though the profile says encode: %v, %v", p.Audio.Copy, err)
	}
}

func TestAudioOfProfiles(t *testing.T) {
	for text, want := range map[string]AudioProfile{
		"96k": {96_000, AudioAuto}, "copy": {128_000, AudioCopy}, "encode 64k": {64_000, AudioEncode}, "160k auto": {160_000, AudioAuto},
	} {
		all, err := ParseProfiles([]byte("- {name: own, audio: " + text + ", accept: [no-video]}"))
		if err != nil || all["own"].Audio != want {
			t.Errorf("%s: %+v, %v", text, all["own"].Audio, err)
		}
	}
	for text, say := range map[string]string{"loud": "write auto, copy or encode", "encode 8k": "32k to 320k"} {
		if _, err := ParseProfiles([]byte("- {name: own, audio: " + text + ", accept: [no-video]}")); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
