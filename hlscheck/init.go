package hlscheck

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/Eyevinn/mp4ff/aac"
	"github.com/Eyevinn/mp4ff/hevc"
	"github.com/Eyevinn/mp4ff/mp4"

	avc264 "afterlive.alt/internal/h264"
)

// initSegment is what an EXT-X-MAP names, or what a segment without one says itself: its
// frames if there are some, else its audio.
type initSegment struct {
	entry       string // type of the sample entry: avc1, hvc1, mp4a, …
	video       bool
	h264, hevc  bool
	profile     byte // of H.264
	level       byte
	lengthSize  int    // of NAL units
	transfer    int    // transfer characteristics (ISO/IEC 23091-2); 0: not told
	encrypted   bool   // its samples are
	track       uint32 // its number
	timescale   uint32
	audioTracks []audioTrack // of all tracks
	trex        *mp4.TrexBox
}

// audioTrack is one; with no channels, nothing else is known of it.
type audioTrack struct {
	aac      bool
	channels int
}

// stereo tells whether all there is, is stereo audio.
func (i *initSegment) stereo() bool {
	return i != nil && len(i.audioTracks) == 1 && i.audioTracks[0].channels == 2
}

func parseInit(body []byte) (*initSegment, error) {
	file, err := decode(body)
	if err != nil {
		return nil, fmt.Errorf("read init segment: %w", err)
	}
	if file.Moov == nil || file.Moov.Trak == nil || file.Moov.Mvex == nil {
		return nil, errors.New("read init segment: it has no track, or does not belong to a fragmented file")
	}
	var first *initSegment
	var audioTracks []audioTrack
	for _, trak := range file.Moov.Traks {
		one, err := parseTrack(trak)
		if err != nil {
			return nil, fmt.Errorf("read init segment: %w", err)
		}
		one.trex, _ = file.Moov.Mvex.GetTrex(one.track)
		audioTracks = append(audioTracks, one.audioTracks...)
		if first == nil || one.video && !first.video {
			first = one
		}
	}
	first.audioTracks = audioTracks
	return first, nil
}

func parseTrack(trak *mp4.TrakBox) (*initSegment, error) {
	if trak.Tkhd == nil || trak.Mdia == nil || trak.Mdia.Mdhd == nil || trak.Mdia.Minf == nil || trak.Mdia.Minf.Stbl == nil || trak.Mdia.Minf.Stbl.Stsd == nil {
		return nil, errors.New("a track lacks its description")
	}
	stsd := trak.Mdia.Minf.Stbl.Stsd
	i := &initSegment{track: trak.Tkhd.TrackID, timescale: trak.Mdia.Mdhd.Timescale}
	if len(stsd.Children) == 0 {
		return i, nil
	}
	i.entry = stsd.Children[0].Type()
	var err error
	switch entry := stsd.Children[0].(type) {
	case *mp4.VisualSampleEntryBox:
		i.video = true
		i.describeVideo(entry)
	case *mp4.AudioSampleEntryBox:
		err = i.describeAudio(entry)
	}
	return i, err
}

// original is the type of an encrypted sample entry before it was encrypted.
func (i *initSegment) original(sinf *mp4.SinfBox) {
	if sinf != nil && sinf.Frma != nil {
		i.entry, i.encrypted = sinf.Frma.DataFormat, true
	}
}

func (i *initSegment) describeVideo(e *mp4.VisualSampleEntryBox) {
	i.original(e.Sinf)
	if e.AvcC != nil {
		i.h264, i.lengthSize = true, nalLength
		i.profile, i.level = e.AvcC.AVCProfileIndication, e.AvcC.AVCLevelIndication
		if len(e.AvcC.SPSnalus) > 0 {
			i.transfer = transferOfAVC(e.AvcC.SPSnalus[0])
		}
	}
	if e.HvcC != nil {
		i.hevc, i.lengthSize = true, int(e.HvcC.LengthSizeMinusOne)+1
		for _, n := range e.HvcC.GetNalusForType(hevc.NALU_SPS) {
			i.transfer = transferOfHEVC(n)
		}
	}
	for _, box := range e.Children {
		if colr, ok := box.(*mp4.ColrBox); ok && colr.TransferCharacteristics > 0 {
			i.transfer = int(colr.TransferCharacteristics)
		}
	}
	if i.transfer <= unspecified && strings.HasPrefix(i.entry, "dv") { // Dolby Vision of a profile that nothing else can show
		i.transfer = transferPQ
	}
}

func (i *initSegment) describeAudio(e *mp4.AudioSampleEntryBox) error {
	i.original(e.Sinf)
	s := audioTrack{channels: int(e.ChannelCount)}
	if e.Esds != nil && e.Esds.DecConfigDescriptor != nil {
		const isAAC, parametricStereo = 0x40, 29
		d := e.Esds.DecConfigDescriptor
		s.aac = d.ObjectType == isAAC
		if s.aac && d.DecSpecificInfo != nil && len(d.DecSpecificInfo.DecConfig) > 0 {
			config := d.DecSpecificInfo.DecConfig
			header, err := aac.DecodeAudioSpecificConfigHeader(bytes.NewReader(config))
			if err != nil {
				return err
			}
			s.channels = int(header.ChannelConfiguration) // the sample entry says 2 whatever there is
			if config[0]>>3 == parametricStereo {
				s.channels = 2
			}
		}
	}
	i.audioTracks = []audioTrack{s}
	return nil
}

// Transfer characteristics (ISO/IEC 23091-2, 8.2).
const (
	unspecified = 2
	transferPQ  = 16
	transferHLG = 18
)

func transferOfAVC(sps []byte) int {
	form, err := avc264.ParseSPS(sps)
	if err != nil || form.Colour.Transfer == unspecified {
		return 0
	}
	return form.Colour.Transfer
}

func transferOfHEVC(sps []byte) int {
	if s, err := hevc.ParseSPSNALUnit(sps); err == nil && s.VUI != nil && s.VUI.ColourDescriptionFlag {
		return int(s.VUI.TransferCharacteristics)
	}
	return 0
}

// videoRange is what VIDEO-RANGE must be (RFC 8216bis, 4.4.6.2), or empty where nobody
// can tell: video without tags, or of BT.2020, which may be HLG by an SEI message.
func (i *initSegment) videoRange() string {
	if i == nil {
		return ""
	}
	switch i.transfer {
	case transferPQ:
		return "PQ"
	case transferHLG:
		return "HLG"
	case 1, 4, 5, 6, 7, 13:
		return sdr
	}
	return ""
}

const sdr = "SDR"

// videoCodecs are how elements of CODECS begin that are video.
var videoCodecs = []string{"avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe", "dva1", "dvav", "dav1", "av01", "vp09", "vp08", "vvc1", "vvi1", "mjpg"}

func hasVideo(codecs string) bool { return hasCodec(codecs, videoCodecs...) }

// hasCodec tells whether one of the codecs begins in one of these ways.
func hasCodec(codecs string, prefixes ...string) bool {
	for c := range strings.SplitSeq(codecs, ",") {
		for _, prefix := range prefixes {
			if strings.HasPrefix(strings.TrimSpace(c), prefix) {
				return true
			}
		}
	}
	return false
}
