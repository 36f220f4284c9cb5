package twin

import (
	"cmp"
	"slices"

	"afterlive/internal/flv"
)

const (
	jitter      = 2  // ms by which two recorders may have rounded times differently
	fewPictures = 5  // that must be alike, all different, one of them a keyframe
	fewSounds   = 40 // packets likewise, where there are no pictures
	sameMost    = 20 // tags with the same body that are looked at
)

// candidate is a way in which file and recording may lie beside each other.
type candidate struct {
	clock int
	shift int64
}

// align finds where the recording ends in the file: where most of its last tags are found in the file, as far apart as they are there. Where
// the file's publisher has come back, that is behind the last time that fits. Where pictures repeat, and several ways fit as well, the
// wall clock decides.
func (t *Twin) align() {
	for _, all := range slices.Backward(t.candidates()) {
		best, most := candidate{}, 0.0
		for _, c := range all {
			share := t.alike(c)
			if share > most+asWell || share > most-asWell && share > 0 && (most == 0 || t.far(c) < t.far(best)) {
				best, most = c, share
			}
		}
		if most > 0 {
			t.seen, t.own = 0, 0
			t.put(best)
			t.forget()
			return
		}
	}
	t.place.known = false
	t.strange = t.strangers()
}

// strangers tells whether most of the recording's last pictures, or packets of sound where there are none, aren't in the file at all.
func (t *Twin) strangers() bool {
	have, all, not := map[uint64]bool{}, map[flv.Kind]int{}, map[flv.Kind]int{}
	for _, x := range t.mine {
		have[x.Sum] = true
	}
	for _, x := range t.tail {
		if t.end-x.Time > enough.Milliseconds() {
			continue
		}
		all[x.Kind]++
		if !have[x.Sum] {
			not[x.Kind]++
		}
	}
	kind := t.telling()
	return 2*not[kind] > all[kind]
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
	around, most := map[candidate]int{}, make([]int, t.clock+1)
	for c := range votes {
		for d := int64(-jitter); d <= jitter; d++ {
			around[c] += votes[candidate{c.clock, c.shift + d}]
		}
		most[c.clock] = max(most[c.clock], around[c])
	}
	by := make([][]candidate, t.clock+1)
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

// telling is the kind of tag by which streams are told apart: pictures, if the recording has any. Silence is the same everywhere.
func (t *Twin) telling() flv.Kind {
	if slices.ContainsFunc(t.tail, func(x tag) bool { return x.Kind == flv.Picture }) {
		return flv.Picture
	}
	return flv.Sound
}

// votes are how many pairs of equal tags speak for each way. Of a still picture, or of silence, there are many: the most likely ones count.
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

// alike is the share of the recording's last tags that are in the file, as a way has them, of those at whose times the file has any. It is 0 if
// that is less than half, or if they all look the same.
func (t *Twin) alike(c candidate) float64 {
	kind := t.telling()
	var mine []tag
	for _, x := range t.mine {
		if x.clock == c.clock && x.Kind == kind {
			x.Time += c.shift
			mine = append(mine, x)
		}
	}
	step := max(jitter, t.steps[kind].usual())
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
			if x.Key {
				keys++
			}
		}
	}
	least := fewPictures
	if kind == flv.Sound {
		least, keys = fewSounds, 1
	}
	if keys == 0 || len(same) < least || 2*found <= all {
		return 0
	}
	return float64(found) / float64(all)
}

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

// forget drops tags of the file that lie long before the recording's end.
func (t *Twin) forget() {
	first, last := min(t.place.next[flv.Picture], t.place.next[flv.Sound]), max(t.place.last[flv.Picture], t.place.last[flv.Sound])
	old := 0
	for old < len(t.mine) && t.mine[old].Offset < first && (t.mine[old].clock < t.place.clock || last-t.mine[old].Time-t.place.shift > kept) {
		old++
	}
	t.mine = slices.Delete(t.mine, 0, old)
}
