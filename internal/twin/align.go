package twin

import (
	"cmp"
	"math"
	"slices"

	"afterlive.alt/internal/flv"
)

const (
	jitter     = 2  // ms by which two recorders may have rounded times differently
	fewFrames  = 5  // that must be alike, all different, one of them a keyframe
	fewPackets = 40 // packets likewise, where there are no frames
	sameMost   = 20 // tags with the same body that are looked at
)

// candidate is a way in which file and recording may lie beside each other.
type candidate struct {
	clock int
	shift int64
}

// align finds where the recording ends in the file: where most of its last tags are found in the file, as far apart as they are there. Where
// the file has several clocks, that is by the last that fits. Where frames repeat, and several ways fit as well, the audio and then the wall
// clock decide.
func (t *Twin) align() {
	kind := t.telling()
	other := flv.VideoFrame + flv.AudioFrame - kind
	for _, all := range slices.Backward(t.candidates()) {
		best, most := candidate{}, 0.0
		for _, c := range all {
			share, enough := t.alike(c, kind)
			if !enough {
				continue
			}
			beside, _ := t.alike(c, other)
			if share += beside; share > most+asWell || share > most-asWell && (most == 0 || t.far(c) < t.far(best)) {
				best, most = c, share
			}
		}
		if most > 0 {
			t.put(best)
			t.Forget()
			return
		}
	}
	t.place.known = false
	t.strange = t.unlike(kind)
}

// unlike tells whether most of what the recording has of a while of the file's time isn't in the file. Which time that is, the wall clock tells.
func (t *Twin) unlike(kind flv.Kind) bool {
	have := map[uint64]bool{}
	for _, x := range t.mine {
		have[x.Sum] = true
	}
	all, not, first, last := 0, 0, int64(0), int64(0)
	for _, x := range t.tail {
		if x.Kind != kind || !t.covers(x.Time) {
			continue
		}
		if all == 0 {
			first = x.Time
		}
		last = x.Time
		all++
		if !have[x.Sum] {
			not++
		}
	}
	return last-first > enough && 2*not > all
}

const (
	enough = 12_000 // ms of two streams that are compared before they are said to be different
	unsure = 3_000  // ms by which wall clocks may differ
)

// covers tells whether the file has a time of the recording's clock.
func (t *Twin) covers(at int64) bool {
	for i, c := range t.owns {
		first := c.first
		switch {
		case !c.some() || len(t.mine) == 0 || i < t.mine[0].clock: // those tags were forgotten
			continue
		case i == t.mine[0].clock:
			first = t.mine[0].Time
		}
		if own := at - t.expect[i]; own > first+unsure && own < c.last-unsure {
			return true
		}
	}
	return false
}

const (
	asWell   = 0.1 // of the tags, that one way may have more in common than another that is as likely
	someWays = 10  // that are looked at
	few      = 10  // of the votes for the most likely way one in so many is enough to be looked at
)

// far is by how many ms a way is from what is expected.
func (t *Twin) far(c candidate) int64 {
	d := c.shift - t.expect[c.clock]
	return max(d, -d)
}

// candidates are the ways that have most votes, by clock: of those that have some, the most likely ones.
func (t *Twin) candidates() [][]candidate {
	votes := t.votes()
	around, most := map[candidate]int{}, make([]int, len(t.owns))
	for c := range votes {
		for d := int64(-jitter); d <= jitter; d++ {
			around[c] += votes[candidate{c.clock, c.shift + d}]
		}
		most[c.clock] = max(most[c.clock], around[c])
	}
	by := make([][]candidate, len(t.owns))
	for c, n := range around {
		if few*n >= most[c.clock] && peak(votes, c) {
			by[c.clock] = append(by[c.clock], c)
		}
	}
	for i, all := range by {
		slices.SortFunc(all, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(t.far(a), t.far(b)), cmp.Compare(a.shift, b.shift))
		})
		by[i] = all[:min(len(all), someWays)]
	}
	return by
}

// peak tells whether none that is nearly the same has more votes.
func peak(votes map[candidate]int, c candidate) bool {
	for d := int64(1); d <= 2*jitter; d++ {
		if votes[candidate{c.clock, c.shift - d}] >= votes[c] || votes[candidate{c.clock, c.shift + d}] > votes[c] {
			return false
		}
	}
	return true
}

// telling is the kind of tag by which streams are told apart: frames, if the recording has any. Silence is the same everywhere.
func (t *Twin) telling() flv.Kind {
	if slices.ContainsFunc(t.tail, func(x tag) bool { return x.Kind == flv.VideoFrame }) {
		return flv.VideoFrame
	}
	return flv.AudioFrame
}

// votes are how many pairs of equal tags speak for each way. Of a still image, or of silence, there are many: the most likely ones count.
func (t *Twin) votes() map[candidate]int {
	type body struct {
		clock int
		sum   uint64
	}
	at := map[body][]int64{}
	kind := t.telling()
	for _, x := range t.mine {
		if x.Kind == kind {
			at[body{x.clock, x.Sum}] = append(at[body{x.clock, x.Sum}], x.Time)
		}
	}
	votes := map[candidate]int{}
	for _, x := range t.tail {
		for clock := range t.expect {
			same := at[body{clock, x.Sum}]
			if len(same) > sameMost {
				i, _ := slices.BinarySearch(same, x.Time-t.expect[clock])
				i = max(0, min(i-sameMost/2, len(same)-sameMost))
				same = same[i : i+sameMost]
			}
			for _, own := range same {
				votes[candidate{clock, x.Time - own}]++
			}
		}
	}
	return votes
}

// alike is the share of the recording's last tags of a kind that are in the file, as a way has them, of those at whose times the file has any. enough
// is false if that is less than half, or if they all look the same.
func (t *Twin) alike(c candidate, kind flv.Kind) (share float64, enough bool) {
	var mine []tag
	for _, x := range t.mine {
		if x.clock == c.clock && x.Kind == kind {
			x.Time += c.shift
			mine = append(mine, x)
		}
	}
	step := max(jitter, min(second, t.steps[kind].usual()))
	found, all, keys, same := 0, 0, 0, map[uint64]bool{}
	for _, x := range t.tail {
		if x.Kind != kind {
			continue
		}
		for len(mine) > 0 && mine[0].Time < x.Time-step {
			mine = mine[1:]
		}
		beside, equal := false, false
		for i := 0; i < len(mine) && mine[i].Time <= x.Time+step; i++ {
			beside = true
			equal = equal || mine[i].Sum == x.Sum && max(mine[i].Time-x.Time, x.Time-mine[i].Time) <= jitter
		}
		if beside {
			all++
		}
		if equal {
			found++
			same[x.Sum] = true
			if x.Key || kind == flv.AudioFrame {
				keys++
			}
		}
	}
	least := fewFrames
	if kind == flv.AudioFrame {
		least = fewPackets
	}
	if all == 0 {
		return 0, false
	}
	return float64(found) / float64(all), keys > 0 && len(same) >= least && 2*found > all
}

const second = 1000 // ms

// put notes where the recording ends in the file.
func (t *Twin) put(c candidate) {
	p := place{known: true, clock: c.clock, shift: c.shift, last: map[flv.Kind]int64{}, next: map[flv.Kind]int64{}}
	ends, end := map[flv.Kind]tag{}, int64(0)
	for _, x := range t.tail {
		if t.steps[x.Kind] != nil {
			p.last[x.Kind], ends[x.Kind], end = x.Time, x, max(end, x.Time)
		}
	}
	behind := t.mine[0].Offset
	for kind := range t.steps {
		p.next[kind] = t.mine[len(t.mine)-1].Offset + t.mine[len(t.mine)-1].Size // if what comes next isn't there yet
		last, some := ends[kind]
		if !some {
			last.Time = end
		}
		for _, x := range t.mine {
			if x.Kind != kind || x.clock < c.clock {
				continue
			}
			at := x.Time + c.shift
			if x.clock == c.clock && (at <= last.Time || at <= last.Time+jitter && x.Sum == last.Sum) {
				behind = max(behind, x.Offset+x.Size)
				continue
			}
			p.next[kind] = x.Offset
			break
		}
	}
	p.next[flv.Other] = behind
	t.place = p
}

// Forget drops tags of the file that lie long before the recording's end. All that was put there must be in the store by then: what is cut off again
// is looked for anew.
func (t *Twin) Forget() {
	end := max(t.place.last[flv.VideoFrame], t.place.last[flv.AudioFrame])
	first := int64(math.MaxInt64) // of those that may yet be wanted
	for kind, last := range t.place.last {
		if end-last < kept {
			first = min(first, t.place.next[kind])
		}
	}
	old := 0
	for old < len(t.mine) && t.mine[old].Offset < first && (t.mine[old].clock < t.place.clock || end-t.mine[old].Time-t.place.shift > kept) {
		old++
	}
	t.mine = slices.Delete(t.mine, 0, old)
}
