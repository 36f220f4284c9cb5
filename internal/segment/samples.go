package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/Eyevinn/mp4ff/mp4"

	"afterlive.alt/ladder"
)

// sample is a frame, in ticks of the track's timescale.
type sample struct {
	decode, shown, duration int64
	sync                    bool
}

// readSegment reads a segment's index, and how long the file is.
func (o *Output) readSegment(name string) (samples []sample, size int64, err error) {
	f, err := os.Open(filepath.Join(o.Folder, name))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	file, err := mp4.DecodeFile(f, mp4.WithDecodeMode(mp4.DecModeLazyMdat))
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	var boxes uint64
	for _, box := range file.Children {
		boxes += box.Size()
	}
	if boxes != uint64(info.Size()) {
		return nil, 0, fmt.Errorf("read %s: it is %d bytes long, its boxes %d", name, info.Size(), boxes)
	}
	samples, err = o.samples(file)
	return samples, info.Size(), err
}

func (o *Output) samples(file *mp4.File) (samples []sample, err error) {
	var data, want uint64
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			traf := fragment.Moof.Traf
			if traf == nil || traf.Tfdt == nil || fragment.Mdat == nil {
				return nil, errors.New("a fragment lacks its time or its data")
			}
			decode := int64(traf.Tfdt.BaseMediaDecodeTime())
			for _, trun := range traf.Truns {
				trun.AddSampleDefaultValues(traf.Tfhd, o.trex)
				firstFlags, has := trun.FirstSampleFlags()
				for i, s := range trun.GetSamples() {
					if i == 0 && has {
						s.Flags = firstFlags
					}
					samples = append(samples, sample{
						decode: decode, shown: decode + int64(s.CompositionTimeOffset), duration: int64(s.Dur),
						sync: mp4.IsSyncSampleFlags(s.Flags),
					})
					decode += int64(s.Dur)
					want += uint64(s.Size)
				}
			}
			data += fragment.Mdat.GetLazyDataSize()
		}
	}
	if data != want {
		return nil, fmt.Errorf("it holds %d bytes of samples, its index says %d", data, want)
	}
	return samples, nil
}

// fullSamples reads a segment's samples, with their data.
func (o *Output) fullSamples(name string) (all []mp4.FullSample, err error) {
	body, err := os.ReadFile(filepath.Join(o.Folder, name))
	if err != nil {
		return nil, err
	}
	whole, err := mp4.DecodeFile(bytes.NewReader(body))
	if err == nil {
		all, err = o.samplesOf(whole)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return all, nil
}

func (o *Output) samplesOf(file *mp4.File) (all []mp4.FullSample, err error) {
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			samples, err := fragment.GetFullSamples(o.trex)
			if err != nil {
				return nil, err
			}
			all = append(all, samples...)
		}
	}
	return all, nil
}

// writeFragments makes a segment anew, of fragments of these samples, and tells where
// each is.
func (o *Output) writeFragments(name string, groups [][]mp4.FullSample) (ranges []ladder.Range, err error) {
	var all bytes.Buffer
	for i, samples := range groups {
		fragment, err := mp4.CreateFragment(uint32(i+1), o.trex.TrackID)
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			fragment.AddFullSample(s)
		}
		before := int64(all.Len())
		if err := fragment.Encode(&all); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		ranges = append(ranges, ladder.Range{Offset: before, Bytes: int64(all.Len()) - before})
	}
	return ranges, os.WriteFile(filepath.Join(o.Folder, name), all.Bytes(), 0o644)
}
