package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"afterlive.alt/internal/config"
	"afterlive.alt/internal/operate"
	"afterlive.alt/site"
)

type serveCommand struct {
	Listen  string `help:"Address to listen on." default:"127.0.0.1:8090" placeholder:"ADDR" env:"AFTERLIVE_LISTEN"`
	Uploads string `help:"Folder for recordings while they are uploaded by HTTP (tus), which operators may then do. It needs room for all that come at once." placeholder:"FOLDER" env:"AFTERLIVE_UPLOADS"`
	config.Site

	LogFormat string `help:"json or console." enum:"json,console" default:"json" env:"AFTERLIVE_LOG_FORMAT"`
}

// Help explains what --help has no place for.
func (*serveCommand) Help() string {
	return `Serves pages: what there is to watch; for operators, what is at work and what has failed, to be replayed, dropped, published or removed. ` +
		`They use nothing but the HTTP API below /api/v1/, whose description is at /api/v1/openapi.yaml. On one box, "worker --http" serves the same.

  enqueue serve                                        # recordings alone, to this machine
  openssl rand -hex 16 >tokens && enqueue serve --token-file tokens

  enqueue serve --webhook https://example.org/hook --webhook-secret-file secret   # tells when a recording is live, ready, failed or removed

Whoever has a token is an operator. It goes over the wire: put a proxy with TLS in front where that is not this machine.`
}

// Run serves the pages until it is told to end.
func (c *serveCommand) Run(ctx context.Context, stdout io.Writer, flags config.Flags) error {
	if flags.OnAWS() && c.Media == "" {
		return errors.New("--media must say where viewers find vod/ and player/, as https://….cloudfront.net")
	}
	log, err := config.Logger(c.LogFormat, "stderr")
	if err != nil {
		return err
	}
	return withBackend(ctx, flags, func(_ operate.Operator, backend *config.Backend) error {
		var uploads *site.Uploads
		if c.Uploads != "" {
			uploads = &site.Uploads{Folder: c.Uploads, Free: func() (int64, error) { return config.Free(c.Uploads) }, Receiver: receiver{backend, log}, Log: log}
		}
		pages, err := c.Pages(flags, backend, uploads, log) //nolint:contextcheck // an upload has the context of its request
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("/", pages)
		if c.Media == "" {
			site.Media(mux, flags.Data, log)
		}
		end, err := c.Tell(ctx, backend, config.ProcessName(), log)
		if err != nil {
			return err
		}
		defer end()
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		log.Info("serving http", zap.String("addr", listener.Addr().String()))
		fmt.Fprintf(stdout, "http://%s/\n", listener.Addr())
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
		if uploads != nil {
			sweeping, stop := context.WithCancel(ctx)
			swept := make(chan struct{})
			go func() {
				defer close(swept)
				uploads.Run(sweeping)
			}()
			defer func() { stop(); <-swept }()
		}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		select {
		case err := <-ended:
			return fmt.Errorf("serve: %w", err)
		case <-ctx.Done(): // pages that hear of changes end with it
			brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return server.Shutdown(brief)
		}
	})
}
