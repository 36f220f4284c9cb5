package flv

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// growing is a file that is being written: it ends where there is nothing yet.
type growing struct {
	body []byte
	at   int
	upTo int
}

func (g *growing) Read(b []byte) (int, error) {
	if g.at == g.upTo {
		return 0, io.EOF
	}
	n := copy(b, g.body[g.at:g.upTo])
	g.at += n
	return n, nil
}

// A recording that is scanned while it grows, in any pieces, is indexed as if it had been whole; and
// what an index has said stays so.
func TestScanWhileItGrows(t *testing.T) {
	damaged := newRecording().headers()
	at := damaged.seconds(0, 20, 50)
	hole := damaged.Len()
	damaged.Write(bytes.Repeat([]byte{0xff}, 3000))
	damaged.seconds(at, 20, 50)
	late := newRecording().headers()
	for i := range int64(100) {
		late.audio(i*20, 100)
	}
	late.seconds(2000, 30, 50)
	torn := newRecording().headers()
	torn.seconds(0, 20, 50)
	torn.Write([]byte{9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3})
	jumps := newRecording().headers()
	jumps.seconds(0, 15, 50)
	jumps.seconds(9_000_000, 15, 50)
	halts := newRecording().headers()
	at = halts.seconds(0, 15, 50)
	for range 300 { // ten seconds without audio
		halts.frame(at, at%1000 < 33, 0, 50)
		at += 33
	}
	halts.seconds(at, 15, 50)
	comesBack := newRecording().headers()
	comesBack.seconds(0, 13, 50)
	again := newRecording().headers()
	again.seconds(500, 13, 50)
	comesBack.goOn(again, 4*time.Second)
	for name, body := range map[string][]byte{"its publisher comes back": comesBack.Bytes(), "the audio halts": halts.Bytes(), "damaged": damaged.Bytes(), "the audio is first": late.Bytes(), "torn": torn.Bytes(), "its clock jumps": jumps.Bytes()} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				want := scan(t, body)
				random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
				source := &growing{body: body}
				s := NewScanner(source)
				var before *Index
				for source.upTo < len(body) {
					source.upTo = min(len(body), source.upTo+1+random.IntN(20_000))
					if err := s.More(); err != nil {
						t.Fatal(err)
					}
					if source.upTo < len(body)/2 {
						continue // from its head on, somebody asks
					}
					x, err := s.Index()
					if err != nil {
						t.Fatal(err)
					}
					told, err := x.Marshal()
					if err != nil {
						t.Fatal(err)
					}
					if y, err := ParseIndex(told, x.Size); err != nil || !reflect.DeepEqual(x, y) {
						t.Fatalf("%+v was read as %+v: %v", x, y, err)
					}
					if before != nil {
						onlyGrew(t, before, x)
					}
					before = x
				}
				got, err := s.End()
				if err != nil {
					t.Fatal(err)
				}
				onlyGrew(t, before, got)
				if name == "damaged" && got.Damage[0].From != int64(hole) {
					t.Errorf("damage %v, from %d on", got.Damage, hole)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("grown: %+v\nwhole: %+v", got, want)
				}
			})
		}
	}
}

// onlyGrew wants all that a later index says of what an earlier one knew to be the same.
func onlyGrew(t *testing.T, before, after *Index) {
	t.Helper()
	b, a := before.Video, after.Video
	if b.Rate != a.Rate || b.First != a.First || !reflect.DeepEqual(b.Keyframes, a.Keyframes[:len(b.Keyframes)]) ||
		!reflect.DeepEqual(b.Epochs, a.Epochs[:len(b.Epochs)]) || !reflect.DeepEqual(before.Audio.Marks, after.Audio.Marks[:len(before.Audio.Marks)]) ||
		!reflect.DeepEqual(before.Gaps, after.Gaps[:len(before.Gaps)]) || after.End < before.End || after.Duration < before.Duration {
		t.Fatalf("%+v\n%+v\nwas followed by\n%+v\n%+v", before, b, after, a)
	}
}
