package config

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/growing"
	"afterlive.alt/internal/operate"
	"afterlive.alt/internal/webhook"
	"afterlive.alt/pipeline"
	"afterlive.alt/site"
)

// Site are the flags of what serves the pages, and of who is told of what becomes of recordings.
type Site struct {
	TokenFile      string `help:"File with the tokens of operators, one a line. Without it, there are no operators: pages show recordings only." placeholder:"FILE" env:"AFTERLIVE_TOKEN_FILE"`
	Tokens         string `hidden:"" env:"AFTERLIVE_TOKENS"` // for containers, whose secrets are variables: flags are seen by all
	Media          string `help:"Address where viewers find vod/ and player/, as https://cdn.example.org. Pages and webhooks link to it. Default, in a folder: beside the pages." placeholder:"URL" env:"AFTERLIVE_MEDIA"`
	OperatorHeader string `help:"Header that marks requests of operators. The proxy in front must set it for operators only, and remove it from all other requests." placeholder:"NAME" env:"AFTERLIVE_OPERATOR_HEADER"`

	Webhook           []string `help:"URL to which events are POSTed: a recording is live, ready, has failed or was removed. May be given several times." placeholder:"URL" env:"AFTERLIVE_WEBHOOK"`
	WebhookSecretFile string   `help:"File with the secret that signs webhooks (whsec_… or any text of 24 bytes and more)." placeholder:"FILE" env:"AFTERLIVE_WEBHOOK_SECRET_FILE"`
	WebhookSecret     string   `hidden:"" env:"AFTERLIVE_WEBHOOK_SECRET"`
	OnEvent           []string `help:"Shell command that is run for each event, with the event as JSON on its standard input." placeholder:"COMMAND" sep:"none" env:"AFTERLIVE_ON_EVENT"`
}

// media is where vod/ and player/ are; "": beside the pages.
func (s Site) media() (string, error) {
	media := strings.TrimRight(s.Media, "/")
	if u, err := url.Parse(media); media != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		return "", fmt.Errorf("--media is %q; it must be an address as https://cdn.example.org", media)
	}
	return media, nil
}

// Pages is what serves the pages of a backend, and takes uploads, unless there are none.
func (s Site) Pages(flags Flags, backend *Backend, uploads *site.Uploads, log *zap.Logger) (http.Handler, error) {
	media, err := s.media()
	if err != nil {
		return nil, err
	}
	access, err := site.NewAccess(s.TokenFile, s.Tokens, s.OperatorHeader)
	if err != nil {
		return nil, err
	}
	every := time.Second
	if flags.OnAWS() { // requests cost
		every = 5 * time.Second
	}
	pages := &site.Site{
		Store: backend.Store, Recordings: backend.Recordings, Work: backend.Queue, Failed: backend.Failed,
		Operator: operate.Operator{Failed: backend.Failed, Work: backend.Queue, Bucket: backend.Bucket, Store: backend.Store},
		Clipper:  pipeline.Clipper{Store: backend.Store, Recordings: growing.Recordings{Store: backend.Recordings}, Queue: backend.Queue},
		Media:    media, Every: every, Access: access, Uploads: uploads, Version: Version(), Log: log,
	}
	return pages.Handler()
}

// Tell tells others what becomes of recordings, if there is anybody to tell, until end is called: that tells what there is to tell by then.
func (s Site) Tell(ctx context.Context, backend *Backend, name string, log *zap.Logger) (end func(), err error) {
	if len(s.Webhook)+len(s.OnEvent) == 0 {
		return func() {}, nil
	}
	media, err := s.media()
	if err != nil {
		return nil, err
	}
	sender := &webhook.Sender{Store: backend.Store, Media: media, Name: name + " " + strings.ToLower(rand.Text()[:8]), Log: log}
	for _, command := range s.OnEvent {
		sender.Targets = append(sender.Targets, webhook.Command(command))
	}
	secret := s.WebhookSecret
	switch {
	case len(s.Webhook) == 0:
	case s.WebhookSecretFile != "":
		body, err := os.ReadFile(s.WebhookSecretFile)
		if err != nil {
			return nil, fmt.Errorf("read webhook secret: %w", err)
		}
		secret = string(body)
	case secret == "":
		return nil, errors.New("--webhook needs --webhook-secret-file, so that receivers can tell who asks (make one: openssl rand -base64 32)")
	}
	for _, address := range s.Webhook {
		target, err := webhook.NewURL(address, strings.TrimSpace(secret), nil)
		if err != nil {
			return nil, err
		}
		sender.Targets = append(sender.Targets, target)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sender.Run(ctx)
	}()
	return func() { cancel(); <-ended }, nil
}
