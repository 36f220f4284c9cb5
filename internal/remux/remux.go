// Package remux writes a published rendition, its HLS segments, as one MP4: the same packets, in another container. The index comes first, so that players begin
// before they have all of it ("faststart").
package remux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/Eyevinn/mp4ff/mp4"
)

// Track is a rendition: its init segment, and its segments in the order in which they play, by their keys in the store.
type Track struct {
	Init     string
	Segments []string
}

// Load reads an object of the store.
type Load func(ctx context.Context, key string) ([]byte, error)

// Write writes an MP4 of tracks. begins is the time on their timeline, in seconds, that is its beginning: what lies before it is there for decoders
// alone, by an edit list. Packets go to the scratch first, since the index, which comes before them, is known only when all were read.
func Write(ctx context.Context, w io.Writer, scratch io.ReadWriteSeeker, load Load, tracks []Track, begins float64) error {
	all, err := open(ctx, load, tracks)
	if err != nil {
		return err
	}
	size := int64(0)
	for n := range slices.MaxFunc(tracks, func(a, b Track) int { return len(a.Segments) - len(b.Segments) }).Segments {
		for _, t := range all {
			if n >= len(t.Segments) {
				continue
			}
			data, err := t.take(ctx, load, t.Segments[n])
			if err != nil {
				return err
			}
			t.chunks = append(t.chunks, size)
			written, err := scratch.Write(data)
			if size += int64(written); err != nil {
				return fmt.Errorf("write scratch: %w", err)
			}
		}
	}
	if _, err := scratch.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read scratch: %w", err)
	}
	head, err := head(all, begins, size)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, io.MultiReader(bytes.NewReader(head), whileRunning{ctx, io.LimitReader(scratch, size)})); err != nil {
		return fmt.Errorf("write MP4: %w", err)
	}
	return nil
}

// whileRunning is a reader that ends when its context does.
type whileRunning struct {
	ctx context.Context //nolint:containedctx // it lives for one copy
	io.Reader
}

func (r whileRunning) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// track is one while it is collected: what an index says of it.
type track struct {
	Track

	moov   *mp4.MoovBox
	trex   *mp4.TrexBox
	first  int64    // when its first packet is decoded, in units of its own
	next   int64    // when the next one is
	end    int64    // when what is shown last has ended
	chunks []int64  // where segments begin, in the scratch
	counts []uint32 // packets of each
	sizes  []uint32
	lasts  []uint32
	shown  []int32  // how much later than they are decoded
	sync   []uint32 // packets that can be decoded by themselves, from 1 on
}

func open(ctx context.Context, load Load, tracks []Track) (all []*track, err error) {
	for _, t := range tracks {
		body, err := load(ctx, t.Init)
		if err != nil {
			return nil, err
		}
		file, err := mp4.DecodeFile(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", t.Init, err)
		}
		if file.Moov == nil || file.Moov.Trak == nil || file.Moov.Mvex == nil || file.Moov.Mvex.Trex == nil {
			return nil, fmt.Errorf("read %s: it is not an init segment", t.Init)
		}
		if len(t.Segments) == 0 {
			return nil, fmt.Errorf("%s has no segments", t.Init)
		}
		all = append(all, &track{Track: t, moov: file.Moov, trex: file.Moov.Mvex.Trex})
	}
	if len(all) == 0 {
		return nil, errors.New("there is no track")
	}
	return all, nil
}

// take reads a segment's packets, and returns their bytes.
func (t *track) take(ctx context.Context, load Load, key string) (data []byte, err error) {
	body, err := load(ctx, key)
	if err != nil {
		return nil, err
	}
	file, err := mp4.DecodeFile(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	count := uint32(0)
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			samples, err := fragment.GetFullSamples(t.trex)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", key, err)
			}
			for i := range samples {
				t.add(&samples[i])
				data = append(data, samples[i].Data...)
				count++
			}
		}
	}
	t.counts = append(t.counts, count)
	return data, nil
}

func (t *track) add(s *mp4.FullSample) {
	at := int64(s.DecodeTime) //nolint:gosec // 63 bits are enough for any time
	if len(t.sizes) == 0 {
		t.first = at
	} else { // as long as it takes to the next: nothing is between
		t.lasts[len(t.lasts)-1] = uint32(max(0, at-(t.next-int64(t.lasts[len(t.lasts)-1])))) //nolint:gosec // a packet lasts less than a day
	}
	t.next = at + int64(s.Dur)
	t.end = max(t.end, t.next+int64(s.CompositionTimeOffset))
	t.sizes, t.lasts, t.shown = append(t.sizes, s.Size), append(t.lasts, s.Dur), append(t.shown, s.CompositionTimeOffset)
	if s.IsSync() {
		t.sync = append(t.sync, uint32(len(t.sizes))) //nolint:gosec // 32 bits are enough for packets
	}
}

const (
	movieScale  = 1000 // units a second of the movie's own times
	largeHeader = 16   // of an mdat that says its size in 64 bits
)

// head is all that comes before the packets.
func head(all []*track, begins float64, size int64) ([]byte, error) {
	moov := mp4.NewMoovBox()
	mvhd := mp4.CreateMvhd()
	mvhd.Timescale, mvhd.NextTrackID = movieScale, uint32(len(all)+1) //nolint:gosec // two or three
	moov.AddChild(mvhd)
	var offsets []*mp4.Co64Box
	for i, t := range all {
		trak, co64, duration, err := t.index(uint32(i+1), begins) //nolint:gosec // likewise
		if err != nil {
			return nil, err
		}
		mvhd.Duration = max(mvhd.Duration, duration)
		offsets = append(offsets, co64)
		moov.AddChild(trak)
	}
	ftyp := mp4.NewFtyp("isom", 0x200, []string{"isom", "iso2", "avc1", "mp41"})
	data := ftyp.Size() + moov.Size() + largeHeader // nothing below changes the sizes
	for i, t := range all {
		for n, at := range t.chunks {
			offsets[i].ChunkOffset[n] = data + uint64(at) //nolint:gosec // never negative
		}
	}
	var out bytes.Buffer
	if err := errors.Join(ftyp.Encode(&out), moov.Encode(&out)); err != nil {
		return nil, fmt.Errorf("write index: %w", err)
	}
	out.Write([]byte{0, 0, 0, 1, 'm', 'd', 'a', 't'})
	total := uint64(size + largeHeader) //nolint:gosec // likewise
	for shift := 56; shift >= 0; shift -= 8 {
		out.WriteByte(byte(total >> shift))
	}
	if uint64(out.Len()) != data { //nolint:gosec // likewise
		return nil, fmt.Errorf("write index: it has %d bytes, and was to have %d", out.Len(), data)
	}
	return out.Bytes(), nil
}

// index is a track's part of the index, and how long it plays, in the movie's units. What says what its packets are, is the init segment's:
// boxes of spheres stay.
func (t *track) index(id uint32, begins float64) (trak *mp4.TrakBox, co64 *mp4.Co64Box, duration uint64, err error) {
	old := t.moov.Trak
	mdia := old.Mdia
	scale := float64(mdia.Mdhd.Timescale)
	skipped := int64(math.Round(begins*scale)) - t.first // that are before the beginning; below zero: it begins later
	plays := t.end - t.first - max(0, skipped)
	duration = uint64(math.Round(float64(plays) / scale * movieScale))
	mdia.Mdhd.Duration = uint64(t.next - t.first) //nolint:gosec // never negative
	if mdia.Mdhd.Duration > math.MaxUint32 {
		mdia.Mdhd.Version = 1 // has 64 bits for it
	}
	stbl := mp4.NewStblBox()
	stbl.AddChild(mdia.Minf.Stbl.Stsd)
	co64 = &mp4.Co64Box{ChunkOffset: make([]uint64, len(t.chunks))}
	boxes, err := t.samples()
	if err != nil {
		return nil, nil, 0, err
	}
	for _, box := range append(boxes, co64) {
		stbl.AddChild(box)
	}
	at := slices.Index(mdia.Minf.Children, mp4.Box(mdia.Minf.Stbl))
	mdia.Minf.Children[at], mdia.Minf.Stbl = stbl, stbl
	elst := &mp4.ElstBox{Version: 1}
	if skipped < 0 { // nothing for so long
		late := uint64(math.Round(float64(-skipped) / scale * movieScale))
		elst.Entries = append(elst.Entries, mp4.ElstEntry{SegmentDuration: late, MediaTime: -1, MediaRateInteger: 1})
		old.Tkhd.Duration = late
	}
	elst.Entries = append(elst.Entries, mp4.ElstEntry{SegmentDuration: duration, MediaTime: max(0, skipped), MediaRateInteger: 1})
	old.Tkhd.TrackID = id
	old.Tkhd.Duration += duration
	trak, edts := mp4.NewTrakBox(), &mp4.EdtsBox{}
	edts.AddChild(elst)
	for _, box := range []mp4.Box{old.Tkhd, edts, mdia} {
		trak.AddChild(box)
	}
	return trak, co64, old.Tkhd.Duration, nil
}

// samples are the tables of a track's packets (ISO/IEC 14496-12, 8.6 and 8.7).
func (t *track) samples() ([]mp4.Box, error) {
	stts, stsc := &mp4.SttsBox{}, &mp4.StscBox{}
	stts.SampleCount, stts.SampleTimeDelta = runs(t.lasts)
	for i, n := range t.counts {
		if i > 0 && n == t.counts[i-1] {
			continue
		}
		if err := stsc.AddEntry(uint32(i+1), n, 1); err != nil { //nolint:gosec // 32 bits are enough for segments
			return nil, fmt.Errorf("write index: %w", err)
		}
	}
	boxes := []mp4.Box{stts}
	if slices.ContainsFunc(t.shown, func(later int32) bool { return later != 0 }) {
		ctts := &mp4.CttsBox{Version: 1} // they may be shown before they are decoded, by a timeline of the encoder's
		if err := ctts.AddSampleCountsAndOffset(runs(t.shown)); err != nil {
			return nil, fmt.Errorf("write index: %w", err)
		}
		boxes = append(boxes, ctts)
	}
	if len(t.sync) < len(t.sizes) {
		boxes = append(boxes, &mp4.StssBox{SampleNumber: t.sync})
	}
	return append(boxes, stsc, &mp4.StszBox{SampleNumber: uint32(len(t.sizes)), SampleSize: t.sizes}), nil //nolint:gosec // likewise
}

// runs are how often each value comes in a row.
func runs[T comparable](all []T) (counts []uint32, values []T) {
	for _, v := range all {
		if n := len(values); n > 0 && values[n-1] == v {
			counts[n-1]++
			continue
		}
		counts, values = append(counts, 1), append(values, v)
	}
	return counts, values
}
