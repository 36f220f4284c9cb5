package ladder

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/hls-m3u8/m3u8"

	"afterlive.alt/internal/flv"
)

// made is what the parts of a plan could look like: segments of bytesPerSecond.
func made(p *planned, bytesPerSecond int64) []Part {
	var parts []Part
	for k, c := range p.Chunks {
		part := Part{Version: 1, Name: ChunkPart(k), Attempt: fmt.Sprintf("attempt%d", k)}
		for _, l := range p.Ladders {
			for i, r := range l.Renditions {
				t := Track{Ladder: l.Name, Rendition: r.Name, Init: "init-0123456789ab.mp4", Codecs: "avc1.64001f", Timescale: 30000}
				for from := c.From; from < c.To; from += p.SegmentFrames {
					frames := int64(min(p.SegmentFrames, c.To-from))
					t.Segments = append(t.Segments, Segment{
						URI:   fmt.Sprintf("s%05d-%s.m4s", from/p.SegmentFrames, part.Attempt),
						Ticks: frames * 1001, Bytes: bytesPerSecond * frames * 1001 / 30000 / int64(i+1),
					})
				}
				part.Tracks = append(part.Tracks, t)
			}
			part.Tracks = append(part.Tracks, madeFrames(p, l, c, part.Attempt))
		}
		if p.Audio != nil {
			part.Tracks = append(part.Tracks, madeAudio(p, c, part.Attempt)...)
		}
		for n, tiles := range p.Sheets(c.Span) {
			part.Images.Sheets = append(part.Images.Sheets, Image{URI: fmt.Sprintf("%s-sheet-%05d-%s.jpg", part.Name, n, part.Attempt), Bytes: 20_000, Tiles: tiles})
		}
		if p.HasPoster(k) {
			part.Images.Poster = &Image{URI: part.Name + "-poster-" + part.Attempt + ".jpg", Bytes: 90_000}
		}
		parts = append(parts, part)
	}
	return parts
}

// madeAudio is a chunk's audio.
func madeAudio(p *planned, c Chunk, attempt string) (all []Track) {
	for i, r := range p.Audio.Renditions {
		t := Track{Ladder: AudioLadder, Rendition: r.Name, Init: "init-ba9876543210.mp4", Codecs: "mp4a.40.2", Timescale: p.Audio.Rate}
		for from := c.From; from < c.To; from += p.SegmentFrames {
			ticks := p.PacketTicks(p.Packet(min(from+p.SegmentFrames, c.To))) - p.PacketTicks(p.Packet(from))
			t.Segments = append(t.Segments, Segment{URI: fmt.Sprintf("s%05d-%s.m4s", from/p.SegmentFrames, attempt), Ticks: ticks, Bytes: ticks / 3 / int64(i+1)})
		}
		all = append(all, t)
	}
	return all
}

// madeFrames are a chunk's I-frames, of 9000 bytes each.
func madeFrames(p *planned, l Ladder, c Chunk, attempt string) Track {
	t := Track{Ladder: l.Name, Rendition: IFramesRendition, Init: "init-0f0f0f0f0f0f.mp4", Codecs: "avc1.64001e", Timescale: 30000}
	for from := c.From; from < c.To; from += p.SegmentFrames {
		frames := min(p.SegmentFrames, c.To-from)
		s := Segment{URI: fmt.Sprintf("s%05d-%s.m4s", from/p.SegmentFrames, attempt), Ticks: int64(frames) * 1001}
		for range (frames + p.IFrameStep() - 1) / p.IFrameStep() {
			s.Frames = append(s.Frames, Range{Offset: s.Bytes, Bytes: 9000})
			s.Bytes += 9000
		}
		t.Segments = append(t.Segments, s)
	}
	return t
}

func ntscPlan(t *testing.T) *planned {
	t.Helper()
	p := plan(t, index(1280, 720, flv.Rate{Num: 30000, Den: 1001}, 70070*time.Millisecond, 2*time.Second), profile(t, "flat"))
	p.Created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p.Recording.Key = "recordings/live/talk.flv"
	return p
}

func TestPlaylists(t *testing.T) {
	p := ntscPlan(t)
	out, err := Assemble(p.Job, made(p, 400_000))
	if err != nil {
		t.Fatal(err)
	}
	media, err := out.MediaPlaylist("flat", "720p")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "media.m3u8", string(media))
	frames, err := out.MediaPlaylist("flat", IFramesRendition)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "iframes.m3u8", string(frames))
	masters := out.Masters()
	if len(masters) != 1 || masters[0].Ladder != "flat" {
		t.Fatalf("masters %+v", masters)
	}
	golden(t, "master.m3u8", string(masters[0].Body))
	golden(t, "master-stable.m3u8", string(Rebase(masters[0].Body, p.Plan.Job)))
	asset, err := json.MarshalIndent(out.Asset(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "asset.json", string(asset)+"\n")
	for name, body := range map[string][]byte{"media": media, "iframes": frames, "master": masters[0].Body} {
		if _, _, err := m3u8.DecodeFrom(strings.NewReader(string(body)), true); err != nil {
			t.Errorf("%s playlist is not read back: %v", name, err)
		}
	}
}

func TestAudioOnly(t *testing.T) {
	x := index(2, 2, flv.Rate{Num: 30, Den: 1}, 20*time.Second, time.Second)
	x.Video = nil
	p := plan(t, x, profile(t, "flat"))
	if len(p.Chunks) != 1 || len(p.Ladders) != 0 || p.Duration != 20 {
		t.Errorf("plan %+v", p)
	}
	out, err := Assemble(p.Job, made(p, 0))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "master-audio.m3u8", string(out.Masters()[0].Body))
}

func TestVideoOnly(t *testing.T) {
	x := index(640, 360, flv.Rate{Num: 30, Den: 1}, 20*time.Second, time.Second)
	x.Audio = nil
	p := plan(t, x, profile(t, "flat"))
	out, err := Assemble(p.Job, made(p, 100_000))
	if err != nil {
		t.Fatal(err)
	}
	if body := string(out.Masters()[0].Body); strings.Contains(body, "AUDIO") || strings.Contains(body, "mp4a") {
		t.Errorf("audio in the master of a recording without:\n%s", body)
	}
}

func TestAssembleRefuses(t *testing.T) {
	p := ntscPlan(t)
	for _, tc := range []struct {
		name  string
		spoil func([]Part) []Part
		want  string
	}{
		{"a part is missing", func(ps []Part) []Part { return ps[1:] }, "parts of"},
		{"parts in another order", func(ps []Part) []Part { ps[0], ps[1] = ps[1], ps[0]; return ps }, "in the place of"},
		{"an init segment differs", func(ps []Part) []Part { ps[1].Tracks[2].Init = "init-x.mp4"; return ps }, "different versions"},
		{"a rendition is missing in one part", func(ps []Part) []Part { ps[1].Tracks = ps[1].Tracks[1:]; return ps }, "has 12 segments, the others 10"},
		{"a rendition is missing", func(ps []Part) []Part {
			for i := range ps[:2] {
				ps[i].Tracks = ps[i].Tracks[:1]
			}
			return ps
		}, "has 0 segments"},
		{"audio is missing in one part", func(ps []Part) []Part {
			ps[1].Tracks = slices.DeleteFunc(ps[1].Tracks, func(t Track) bool { return t.Ladder == AudioLadder })
			return ps
		}, "the audio aac has 10 segments, by the plan 12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Assemble(p.Job, tc.spoil(made(p, 1000)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestBandwidth(t *testing.T) {
	track := func(seconds ...float64) Track { // segments of alternating seconds and kilobits
		tr := Track{Timescale: 1000}
		for i := 0; i < len(seconds); i += 2 {
			tr.Segments = append(tr.Segments, Segment{Ticks: int64(seconds[i] * 1000), Bytes: int64(seconds[i+1] * 125)})
		}
		return tr
	}
	for _, tc := range []struct {
		name          string
		track         Track
		average, peak int
	}{
		{"constant", track(6, 6000, 6, 6000, 6, 6000), 1_000_000, 1_000_000},
		{"one segment at the top", track(6, 6000, 6, 12000, 6, 6000), 1_333_334, 2_000_000},
		{"a short tail is no peak of its own", track(6, 6000, 0.033, 1000), 1_160_286, 1_160_286},
		{"a tail of half a segment is", track(6, 6000, 3, 6000), 1_333_334, 2_000_000},
		{"shorter than half a segment in all", track(1, 500), 500_000, 500_000},
	} {
		p := &Presentation{fold: &Fold{Tracks: map[string]Track{"x": tc.track, "target": track(6, 1)}}}
		if average, peak := p.bandwidth(tc.track); average != tc.average || peak != tc.peak {
			t.Errorf("%s: average %d, peak %d; want %d, %d", tc.name, average, peak, tc.average, tc.peak)
		}
	}
}
