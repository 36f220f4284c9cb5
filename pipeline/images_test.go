package pipeline

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"afterlive.alt/internal/flv"
	"afterlive.alt/internal/ledger"
	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

var cue = regexp.MustCompile(`(?m)^(\S+) --> (\S+)\n(\S+\.jpg)#xywh=(\d+),(\d+),(\d+),(\d+)$`)

// checkStoryboard looks at the poster and at every thumbnail of the storyboard, as a
// player would: all of it is there, and inside of its sheet.
func checkStoryboard(t *testing.T, store *testenv.Memory, a ladder.Asset) {
	t.Helper()
	load := func(key string) image.Image {
		body, _, err := store.Get(path.Join("vod/live/talk", key))
		if err != nil {
			t.Fatal(err)
		}
		out, err := jpeg.Decode(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return out
	}
	load(a.Poster)
	track, _, err := store.Get(path.Join("vod/live/talk", a.Storyboard))
	must(t, err)
	cues := cue.FindAllStringSubmatch(string(track), -1)
	if len(cues) == 0 || cues[0][1] != "00:00:00.000" {
		t.Fatalf("storyboard:\n%s", track)
	}
	for i, c := range cues {
		var at [4]int
		for j := range at {
			at[j], err = strconv.Atoi(c[4+j])
			must(t, err)
		}
		place := image.Rect(at[0], at[1], at[0]+at[2], at[1]+at[3])
		if sheet := load(path.Join(path.Dir(a.Storyboard), c[3])); !place.In(sheet.Bounds()) {
			t.Errorf("thumbnail %d is at %s of a sheet of %s", i, place, sheet.Bounds())
		}
		if i > 0 && c[1] != cues[i-1][2] {
			t.Errorf("thumbnail %d begins at %s, the one before ends at %s", i, c[1], cues[i-1][2])
		}
	}
}

// A sheet shows the frames that it says it does: this recording gets brighter by a step
// with every two seconds.
func TestStoryboardShowsItsMoments(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "steps.flv")
	runFFmpeg(t, "-v", "error", "-nostdin", "-f", "lavfi", "-i", "color=black:s=160x90:r=25:d=20,geq=lum='16+20*floor(N/50)':cb=128:cr=128", "-c:v", "libx264", "-qp", "1", "-g", "50", "-f", "flv", file)
	recording, err := os.ReadFile(file)
	must(t, err)
	p, store, queue := newSmall(t, recording)
	must(t, p.Do(t.Context(), smallTask, nil))
	drain(t, p, queue)
	checkPublished(t, store)
	plan := onlyPlan(t, store)
	seen := 0
	for k, c := range plan.Chunks {
		var part ladder.Part
		_, err := ledger.Load(t.Context(), store, ladder.PartKey(plan.Job, ladder.ChunkPart(k)), &part)
		must(t, err)
		frames := plan.Tiles(c)
		for i, frame := range frames {
			body, _, err := store.Get(plan.Key(ladder.StoryboardFolder, part.Images.Sheets[0].URI))
			must(t, err)
			sheet, err := jpeg.Decode(bytes.NewReader(body))
			must(t, err)
			s := plan.Storyboard
			r, _, _, _ := sheet.At(i%s.Columns*s.Width+s.Width/2, i/s.Columns*s.Height+s.Height/2).RGBA()
			// Video's black and white are 16 and 235, a JPEG's 0 and 255.
			if got, want := int(r>>8), 20*(frame/50)*255/219; got < want-4 || got > want+4 {
				t.Errorf("frame %d is shown by brightness %d, want %d", frame, got, want)
			}
			seen++
		}
	}
	if seen != 10 {
		t.Errorf("%d thumbnails, want 10", seen)
	}
}

// What ffmpeg leaves in place of images is not published.
func TestImagesAreVerified(t *testing.T) {
	recording := smallRecording(t)
	index, err := flv.Scan(bytes.NewReader(recording))
	must(t, err)
	p, _, _ := newSmall(t, recording)
	plan, err := ladder.New(index, p.Profiles["stitch"], ladder.Trim{})
	must(t, err)
	chunks := plan.Due(index, nil)
	w := chunkWork(plan, chunks[0], 0)
	width, height := plan.SheetSize(w.chunk.Span)
	encode := func(width, height int) []byte {
		var out bytes.Buffer
		must(t, jpeg.Encode(&out, image.NewGray(image.Rect(0, 0, width, height)), nil))
		return out.Bytes()
	}
	good := encode(width, height)
	poster := encode(plan.Storyboard.PosterWidth, plan.Storyboard.PosterHeight)
	for _, tc := range []struct {
		name, want    string
		sheet, poster []byte
	}{
		{"well", "", good, poster},
		{"torn", "unexpected EOF", good[:len(good)/2], poster},
		{"empty", "EOF", nil, poster},
		{"of another size", "by the plan", encode(width, height+2), poster},
		{"poster of another size", "by the plan", good, good},
	} {
		folder := t.TempDir()
		must(t, w.makeFolders(folder))
		must(t, os.WriteFile(filepath.Join(folder, ladder.StoryboardFolder, ladder.SheetFile(0)), tc.sheet, 0o600))
		must(t, os.WriteFile(filepath.Join(folder, ladder.StoryboardFolder, ladder.PosterFile), tc.poster, 0o600))
		_, err := p.collectImages(t.Context(), plan, w, folder, "attempt")
		if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
