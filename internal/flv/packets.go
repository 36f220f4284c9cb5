package flv

import (
	"bytes"
	"io"
	"math"

	"github.com/Eyevinn/mp4ff/aac"
)

// Plain tells whether audio is AAC as every player knows it: LC in stereo, 1024 samples a packet, and
// of one configuration from the first tag to the last.
func (a *Audio) Plain() bool {
	if a.Codec != codecAAC || len(a.Headers) != 1 || len(a.Headers[0].Body) < 4 {
		return false
	}
	config := a.Headers[0].Body[2:]
	c, err := aac.DecodeAudioSpecificConfig(bytes.NewReader(config))
	return err == nil && c.ObjectType == aac.AAClc && c.ChannelConfiguration == 2 &&
		config[0]&7 != 7 && config[1]&frameLengthFlag == 0 // a rate from the table (1.6.3.4), and not 960 samples
}

// Steady tells whether packets of AAC come one behind the other all the time: there is no hole, and no audio
// is slowed or hurried, not even by a sample.
func (a *Audio) Steady() bool {
	for _, m := range a.Marks {
		counted := float64(m.Tag) * aacFrame
		if math.Abs((m.At-a.Marks[0].At).Seconds()*float64(a.SampleRate)-counted) > 0.5 {
			return false
		}
	}
	return true
}

// maxPacket is the largest packet of AAC that can be published: ADTS, in transport streams, has 13 bits for its
// length and a header of 7 bytes (ISO/IEC 14496-3, 1.A.2.2).
const maxPacket = 1<<13 - 1 - 7

// Packets reads the packets of a cut of AAC from src, which must deliver the bytes [From, To): those of the tags [from, to) of the
// recording. One that is larger than any may be is nil, like those that are not there.
func (c Cut) Packets(src io.Reader, from, to int) (all [][]byte, err error) {
	r := c.Reader(src)
	first := c.Marks[0].Tag
	all = make([][]byte, to-from)
	for r.pos < c.To && first+r.tag < to {
		r.body = 0
		if err := r.next(); err != nil {
			return nil, err
		}
		n := first + r.tag - 1 - from // of the tag at hand, if it has one
		body := make([]byte, min(r.body, 2+maxPacket+1))
		if _, err := io.ReadFull(r.src, body); err != nil {
			return nil, torn(err)
		}
		if r.body > 0 {
			if _, err := r.src.Discard(r.body - len(body) + tagTrailerSize); err != nil {
				return nil, torn(err)
			}
		}
		if n >= 0 && n < len(all) && len(body) > 2 && len(body) <= 2+maxPacket && !isHeader(tagAudio, body) {
			all[n] = body[2:]
		}
	}
	return all, nil
}
