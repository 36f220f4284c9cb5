package hlscheck

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// eachVariant is a check of every variant, I-frames included.
func eachVariant(check func(v variant, say say)) func(p *presentation, say say) {
	return func(p *presentation, say say) {
		for _, v := range slices.Concat(p.variants, p.iframes) {
			check(v, say)
		}
	}
}

// eachVideo is a check of every variant with video, but for I-frames.
func eachVideo(check func(v variant, say say)) func(p *presentation, say say) {
	return func(p *presentation, say say) {
		for _, v := range p.variants {
			if v.track.video {
				check(v, say)
			}
		}
	}
}

// profileOf is the profile and level of a CODECS attribute's avc1; ok is false if it has none.
func profileOf(codecs string) (profile, level int, ok bool) {
	for c := range strings.SplitSeq(codecs, ",") {
		var constraints int
		if n, err := fmt.Sscanf(strings.TrimSpace(c), "avc1.%02x%02x%02x", &profile, &constraints, &level); n == 3 && err == nil {
			return profile, level, true
		}
	}
	return 0, 0, false
}

// rates are what a variant's attributes must say, in bits per second: its own, and the
// largest of the audio renditions that may go with it.
func (p *presentation) rates(v variant) (average, peak float64) {
	average, peak = v.track.average, v.track.peak
	audioAverage, audioPeak := 0.0, 0.0
	for _, a := range p.media {
		if a.Type == audioType && a.GroupID == v.Audio && a.track != nil && a.track != v.track {
			audioAverage, audioPeak = math.Max(audioAverage, a.track.average), math.Max(audioPeak, a.track.peak)
		}
	}
	return average + audioAverage, peak + audioPeak
}

// near tells whether what is measured is within a tenth of what is said.
func near(said int64, measured float64) bool {
	return math.Abs(float64(said)-measured) <= float64(said)/10
}

// tells is whether a bandwidth is what is measured: of what is under way, it may be a cap.
func (p *presentation) tells(said int64, measured float64) bool {
	return near(said, measured) || p.event && measured < float64(said)
}

const highProfile, level41, level52 = 100, 41, 52

var multivariantRules = []Rule{
	{Number: "9.1", Severity: Must, Text: "Every variant has CODECS", check: eachVariant(func(v variant, say say) {
		if v.Codecs == "" {
			say(v.URI, "it has none")
		}
	})},
	{Number: "9.2", Severity: Must, Text: "Every variant with video has RESOLUTION", check: func(p *presentation, say say) {
		for _, v := range p.variants {
			if v.track.video && v.width*v.height == 0 {
				say(v.URI, "RESOLUTION is %q", v.Resolution)
			}
		}
	}},
	{Number: "9.14", Severity: Must, Text: "Every variant has AVERAGE-BANDWIDTH", check: eachVariant(func(v variant, say say) {
		if v.AverageBandwidth == 0 {
			say(v.URI, "it has none")
		}
	})},
	{Number: "9.15", Severity: Must, Text: "Every variant with video has FRAME-RATE", check: eachVideo(func(v variant, say say) {
		if v.FrameRate == 0 {
			say(v.URI, "it has none")
		}
	})},
	{Number: "9.10", Severity: Should, Text: "Two variants have the largest resolution", check: func(p *presentation, say say) {
		largest, n := 0, 0
		for _, v := range p.variants {
			switch area := v.width * v.height; {
			case area > largest:
				largest, n = area, 1
			case area == largest:
				n++
			}
		}
		if n < 2 && largest > 0 {
			say(p.name(), "only one variant has it")
		}
	}},
	{Number: "9.11", Severity: Should, Text: "The multivariant playlist says EXT-X-INDEPENDENT-SEGMENTS", check: func(p *presentation, say say) {
		if !p.list.independent {
			say(p.name(), "it doesn't")
		}
	}},
	{Number: "1.26", Severity: Must, Text: "AVERAGE-BANDWIDTH is within 10 % of what is measured", check: func(p *presentation, say say) {
		for _, v := range p.variants {
			if average, _ := p.rates(v); v.AverageBandwidth > 0 && !p.tells(v.AverageBandwidth, average) {
				say(v.URI, "it says %d, %.0f are measured", v.AverageBandwidth, average)
			}
		}
	}},
	{Number: "1.27", Severity: Must, Text: "BANDWIDTH is within 10 % of the measured peak, of video and largest audio together (9.13)", check: func(p *presentation, say say) {
		for _, v := range p.variants {
			if _, peak := p.rates(v); !p.tells(v.Bandwidth, peak) {
				say(v.URI, "it says %d, %.0f are measured", v.Bandwidth, peak)
			}
		}
	}},
	{Number: "1.30", Severity: Should, Text: "The peak is at most twice the average", check: func(p *presentation, say say) {
		for _, v := range p.variants {
			if average, peak := p.rates(v); peak > 2*average {
				say(v.URI, "%.0f against %.0f", peak, average)
			}
		}
	}},
	{Number: "1.32", Severity: Should, Text: "The variant nearest to 2 Mb/s comes first", check: func(p *presentation, say say) {
		nearest := 0
		distance := func(i int) float64 { return math.Abs(float64(p.variants[i].AverageBandwidth) - 2e6) }
		for i := range p.variants {
			if distance(i) < distance(nearest) {
				nearest = i
			}
		}
		if nearest > 0 {
			say(p.variants[0].URI, "%s is nearer", p.variants[nearest].URI)
		}
	}},
	{Number: "1.33", Severity: Should, Text: "All variants have one aspect ratio", check: eachAspect},
	{Number: "1.34", Severity: Should, Text: "Of variants beyond HD, one has at most 15 Mb/s", check: func(p *presentation, say say) {
		least := math.Inf(1)
		for _, v := range p.variants {
			if v.width*v.height > 1920*1080 {
				least = math.Min(least, float64(v.AverageBandwidth))
			}
		}
		if !math.IsInf(least, 1) && least > 15e6 {
			say(p.name(), "the least has %.0f", least)
		}
	}},
	{Number: "1.3a", Severity: Should, Text: "Some variants of H.264 are at most High, level 4.1", check: func(p *presentation, say say) {
		some, fit := false, false
		for _, v := range p.variants {
			if profile, level, ok := profileOf(v.Codecs); ok {
				some = true
				fit = fit || profile <= highProfile && level <= level41
			}
		}
		if some && !fit {
			say(p.name(), "none is")
		}
	}},
	{Number: "1.3b", Severity: Must, Text: "H.264 is at most High, level 5.2", check: eachVariant(func(v variant, say say) {
		if profile, level, ok := profileOf(v.Codecs); ok && (profile > highProfile || level > level52) {
			say(v.URI, "profile %d, level %d", profile, level)
		}
	})},
	{Number: "1.4", Severity: Should, Text: "H.264 is of profile High", check: eachVariant(func(v variant, say say) {
		if profile, _, ok := profileOf(v.Codecs); ok && profile != highProfile {
			say(v.URI, "it is of profile %d", profile)
		}
	})},
	{Number: "1.5", Severity: Must, Text: "HEVC and AV1 are in fMP4", check: eachVariant(func(v variant, say say) {
		if hasCodec(v.Codecs, "hvc1", "hev1", "dvh1", "dvhe", "av01", "dav1") && len(v.track.inits) == 0 && len(v.track.list.segments) > 0 {
			say(v.URI, "%s without EXT-X-MAP", v.Codecs)
		}
	})},
	{Number: "1.11", Severity: Must, Text: "CODECS names the profile and level that the init segment has", check: eachVariant(func(v variant, say say) {
		profile, level, ok := profileOf(v.Codecs)
		if i := v.track.init; ok && i != nil && i.profile > 0 && (int(i.profile) != profile || int(i.level) != level) {
			say(v.URI, "profile %d, level %d against %d, %d", profile, level, i.profile, i.level)
		}
	})},
	{Number: "1.19", Severity: Must, Text: "There are at most 60 frames a second", check: eachVariant(func(v variant, say say) {
		if v.FrameRate > 60.001 {
			say(v.URI, "there are %.3f", v.FrameRate)
		}
	})},
	{Number: "8.10", Severity: Must, Text: "Every EXT-X-MEDIA but of TYPE=VIDEO has LANGUAGE", check: func(p *presentation, say say) {
		for _, a := range p.media {
			if a.Type != videoType && a.Language == "" {
				say(p.name(), "%s %q has none", a.Type, a.Name)
			}
		}
	}},
	{Number: "2.9", Severity: Should, Text: "Stereo AAC has 32 to 160 kb/s", check: func(p *presentation, say say) {
		for _, a := range p.media {
			if a.track == nil || !a.track.init.stereo() || !a.track.init.audioTracks[0].aac {
				continue
			}
			if average := a.track.average; average < 32e3 || average > 176e3 { // 10 % for the container
				say(a.URI, "it has %.0f b/s", average)
			}
		}
	}},
	{Number: "9.5", Severity: Should, Text: "Audio is a rendition of its own", check: eachVideo(func(v variant, say say) {
		if strings.Contains(v.Codecs, "mp4a") && v.Audio == "" {
			say(v.URI, "it has audio and no AUDIO group")
		}
	})},
	{Number: "9.20", Severity: Should, Text: "No variant is audio alone, where there is video (tvOS)", check: func(p *presentation, say say) {
		withVideo := 0
		for _, v := range p.variants {
			if v.track.video {
				withVideo++
			}
		}
		for _, v := range p.variants {
			if withVideo > 0 && !v.track.video {
				say(v.URI, "it is")
			}
		}
	}},
	{Number: "9.21", Severity: Should, Text: "For cellular networks, a variant's peak is at most 192 kb/s", check: func(p *presentation, say say) {
		for _, v := range p.variants {
			if v.Bandwidth <= 192_000 {
				return
			}
		}
		say(p.name(), "none is")
	}},
	{Number: "9.16", Severity: Must, Text: "Where video is HDR, every variant with video has VIDEO-RANGE, and says what it is", check: eachRange},
	{Number: "4.4", Severity: Must, Text: "Captions (CEA-608, CEA-708) in video are declared by an EXT-X-MEDIA", check: eachCaptions},
	{Number: "1.38", Severity: Must, Text: "Video with REQ-VIDEO-LAYOUT is HEVC, in a playlist of version 12", check: eachVariant(func(v variant, say say) {
		if v.ReqVideoLayout != "" && !hasCodec(v.Codecs, "hvc1", "dvh1") {
			say(v.URI, "%s with %s", v.ReqVideoLayout, v.Codecs)
		}
	})},
}

func eachAspect(p *presentation, say say) {
	var first *variant
	for i, v := range p.variants {
		if v.width*v.height == 0 {
			continue
		}
		if first == nil {
			first = &p.variants[i]
			continue
		}
		if a, b := float64(v.width)/float64(v.height), float64(first.width)/float64(first.height); math.Abs(a-b) > 0.02*b {
			say(v.URI, "%s against %s", v.Resolution, first.Resolution)
		}
	}
}

// eachRange holds VIDEO-RANGE against what init segments tell. Without it, a variant is SDR.
func eachRange(p *presentation, say say) {
	all := slices.DeleteFunc(slices.Concat(p.variants, p.iframes), func(v variant) bool { return !v.track.video })
	if !slices.ContainsFunc(all, func(v variant) bool {
		is := v.track.init.videoRange()
		return v.VideoRange != "" && v.VideoRange != sdr || is != "" && is != sdr
	}) {
		return
	}
	for _, v := range all {
		switch is := v.track.init.videoRange(); {
		case v.VideoRange == "":
			say(v.URI, "it has none, and is %s", cmp.Or(is, "beside one that is HDR"))
		case is != "" && v.VideoRange != is:
			say(v.URI, "it says %s, and is %s", v.VideoRange, is)
		}
	}
}

// eachCaptions looks for captions that nobody is told of. An I-frame playlist declares none.
func eachCaptions(p *presentation, say say) {
	for _, v := range p.variants {
		i := slices.IndexFunc(v.track.segments, func(s segment) bool { return s.media != nil && s.media.captions })
		if i < 0 {
			continue
		}
		declared := slices.ContainsFunc(p.media, func(a alternative) bool { return a.Type == captionsType && a.GroupID == v.Captions })
		if !declared {
			say(v.URI, "%s has captions, CLOSED-CAPTIONS is %q", v.track.segments[i].uri, v.Captions)
		}
	}
}
