package ladder

import (
	"testing"
	"time"
)

// The newest of a stream is what began last, not what was made last.
func TestLatestOf(t *testing.T) {
	planned, began := time.Unix(1_800_000_000, 0).UTC(), time.Unix(1_790_000_000, 0).UTC()
	for _, tc := range []struct {
		asset string
		of    Asset
		want  time.Time
	}{
		{"live/talk/talk-1764000000", Asset{Planned: planned, Began: began}, time.Unix(1_764_000_000, 0)},
		{"live/talk/talk-1764000000-b-0123", Asset{Planned: planned}, time.Unix(1_764_000_000, 0)},
		{"live/talk/evening", Asset{Planned: planned, Began: began}, began},
		{"live/talk/evening", Asset{Planned: planned}, planned},
		{"live/talk/talk-2", Asset{Planned: planned}, planned},
	} {
		got := LatestOf(tc.asset, tc.of)
		if !got.Began.Equal(tc.want) || got.Asset != tc.asset {
			t.Errorf("%s: %+v, want %s", tc.asset, got, tc.want)
		}
	}
	if got := LatestOf("live/talk/evening", Asset{}).Pointer; got != "evening/asset.json" {
		t.Errorf("its pointer is %s", got)
	}
}

// Names are addresses in a playlist, whatever is in them.
func TestLatestNames(t *testing.T) {
	for name, want := range map[string]string{"talk-10:30": "./talk-10:30/", "50% #1?": "50%25%20%231%3F/", "señal": "se%C3%B1al/"} {
		l := LatestOf("live/"+name, Asset{})
		if got := string(l.Rebase([]byte("0123/index.m3u8\n"))); l.Pointer != want+PointerFile || got != want+"0123/index.m3u8\n" {
			t.Errorf("%s: %s, %s", name, l.Pointer, got)
		}
	}
}

// A stream's playlist leads where its asset's does.
func TestLatestRebase(t *testing.T) {
	const master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"0123/audio/main/index.m3u8\",NAME=\"a\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0123/flat/180p/index.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"0123/flat/iframes/index.m3u8\"\n"
	const want = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"talk-1/0123/audio/main/index.m3u8\",NAME=\"a\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\ntalk-1/0123/flat/180p/index.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"talk-1/0123/flat/iframes/index.m3u8\"\n"
	if got := string(Latest{Asset: "live/talk/talk-1"}.Rebase([]byte(master))); got != want {
		t.Errorf("got\n%s", got)
	}
}
