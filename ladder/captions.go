package ladder

import (
	"regexp"

	"github.com/Eyevinn/hls-m3u8/m3u8"

	"afterlive.alt/internal/h264"
)

// Caption is a channel of closed captions that the frames carry. The encoder passes them
// on; playlists must say that they are there (HLS authoring rule 4.4).
type Caption struct {
	Channel  string `json:"channel"`  // INSTREAM-ID (RFC 8216, 4.3.4.1): CC1, CC3 or SERVICE1
	Language string `json:"language"` // BCP 47
}

const (
	captionGroup = "cc"
	noCaptions   = "NONE"
	undetermined = "und" // ISO 639-2: nobody has said which language it is
)

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$`)

// captions are those of a recording: of each field of CEA-608 the first channel, of
// CEA-708 the first service. Which others are in use would only their text tell.
func captions(c h264.Captions, language string) (all []Caption) {
	add := func(there bool, channel string) {
		if there {
			all = append(all, Caption{channel, language})
		}
	}
	add(c.Field1, "CC1")
	add(c.Field2, "CC3")
	add(c.DTVCC, "SERVICE1")
	return all
}

// declareCaptions says in a variant which captions its frames carry.
func (p *Presentation) declareCaptions(v *m3u8.VariantParams) {
	v.Captions = noCaptions
	for _, c := range p.plan.Captions {
		v.Captions = captionGroup
		v.Alternatives = append(v.Alternatives, &m3u8.Alternative{
			Type: "CLOSED-CAPTIONS", GroupId: captionGroup, Name: "Captions " + c.Channel, Language: c.Language, InstreamId: c.Channel, Autoselect: true,
		})
	}
}
