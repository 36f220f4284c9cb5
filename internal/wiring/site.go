package wiring

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"afterlive/internal/operate"
	"afterlive/site"
)

// Site are the flags of what serves the pages.
type Site struct {
	TokenFile      string `help:"File with the tokens of operators, one a line. Without, there are none: pages show recordings alone." placeholder:"FILE" env:"AFTERLIVE_TOKEN_FILE"`
	OperatorHeader string `help:"Header that a proxy in front sets for operators alone, and takes out of what others send: whoever has it is one." placeholder:"NAME" env:"AFTERLIVE_OPERATOR_HEADER"`
}

// Pages is what serves the pages of a place. media is where vod/ and player/ are; "": beside the pages.
func (s Site) Pages(flags Flags, place *Place, media string, log *zap.Logger) (http.Handler, error) {
	access, err := site.NewAccess(s.TokenFile, s.OperatorHeader)
	if err != nil {
		return nil, err
	}
	every := time.Second
	if flags.OnAWS() { // requests cost
		every = 5 * time.Second
	}
	pages := &site.Site{
		Store: place.Store, Shelf: place.Recordings, Work: place.Queue, Failed: place.Failed,
		Operator: operate.Operator{Failed: place.Failed, Work: place.Queue, Bucket: place.Bucket, Store: place.Store},
		Media:    media, Every: every, Access: access, Version: Version, Log: log,
	}
	return pages.Handler()
}
