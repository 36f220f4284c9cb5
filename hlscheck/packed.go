package hlscheck

import (
	"bytes"
	"encoding/binary"

	"github.com/Eyevinn/mp4ff/aac"
)

// isPacked tells packed audio (RFC 8216, 3.4): audio frames behind an ID3 tag.
func isPacked(body []byte) bool {
	return bytes.HasPrefix(body, []byte("ID3")) || len(body) > 1 && (body[0] == 0xff && body[1]&0xe0 == 0xe0 || body[0] == 0x0b && body[1] == 0x77)
}

// timestampOwner is whose private frame tells when the audio begins.
const timestampOwner = "com.apple.streaming.transportStreamTimestamp\x00"

// parsePacked looks into packed audio. Of AAC it finds the times; of others (MP3, AC-3)
// nothing more is known.
func parsePacked(body []byte) (*media, *initSegment, error) {
	m := &media{first: true, ts: true}
	start, timed := int64(0), false
	for tag := id3(body); tag > 0; tag = id3(body) {
		if _, after, ok := bytes.Cut(body[:tag], []byte(timestampOwner)); ok && len(after) >= 8 {
			start, timed = int64(binary.BigEndian.Uint64(after)&(clockWraps-1)), true //nolint:gosec // 33 bits
		}
		body = body[tag:]
	}
	init := &initSegment{audioTracks: []audioTrack{{}}}
	frames, rate, channels := adts(body)
	if rate == 0 {
		return m, init, nil
	}
	init.entry, init.audioTracks[0] = entryAAC, audioTrack{aac: true, channels: channels}
	if timed {
		m.ticks, m.start = 90_000, start
		m.end = start + frames*aacFrame*m.ticks/rate
		m.longest = aacFrame * m.ticks / rate
	}
	return m, init, nil
}

const entryAAC = "mp4a"

// id3 is how long the tag is with which a body begins, or 0.
func id3(body []byte) int {
	const header = 10
	if len(body) < header || !bytes.HasPrefix(body, []byte("ID3")) {
		return 0
	}
	size := 0
	for _, b := range body[6:header] {
		size = size<<7 | int(b&0x7f)
	}
	return min(header+size, len(body))
}

// adts counts frames of AAC. The rate is 0 where there is something else between them.
func adts(data []byte) (frames, rate int64, channels int) {
	for len(data) > 0 {
		header, skip, err := aac.DecodeADTSHeader(bytes.NewReader(data))
		if err != nil || skip != 0 || int(header.HeaderLength)+int(header.PayloadLength) > len(data) {
			return frames, 0, channels
		}
		data = data[int(header.HeaderLength)+int(header.PayloadLength):]
		frames, rate = frames+1, int64(aac.FrequencyTable[header.SamplingFrequencyIndex])
		channels = int(header.ChannelConfig)
	}
	return frames, rate, channels
}
