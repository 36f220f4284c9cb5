package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"afterlive.alt/internal/config"
	"afterlive.alt/site"
)

// serve listens, and answers in the background: /healthz, /metrics, the player and,
// in a folder, the pages and the results.
func (f *flags) serve(ctx context.Context, log *zap.Logger, backend *config.Backend, healthy func() error, metrics prometheus.Gatherer) (*http.Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	if err := f.pages(mux, backend, log); err != nil { //nolint:contextcheck // likewise: requests have their own
		return nil, err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.HTTP)
	if err != nil {
		return nil, fmt.Errorf("serve http: %w", err)
	}
	log.Info("serving http", zap.String("addr", listener.Addr().String()))
	go func() {
		if err := server.Serve(listener); err != nil && err != http.ErrServerClosed {
			log.Error("http server ended", zap.Error(err))
		}
	}()
	return server, nil
}

// pages serves the pages and what they show; from a fleet's worker, the player alone.
func (f *flags) pages(mux *http.ServeMux, backend *config.Backend, log *zap.Logger) error {
	if f.OnAWS() {
		site.Player(mux, log)
		mux.Handle("GET /{$}", http.RedirectHandler("/player/", http.StatusFound))
		return nil
	}
	pages, err := f.Pages(f.Flags, backend, nil, log)
	if err != nil {
		return err
	}
	mux.Handle("/", pages)
	site.Media(mux, f.Data, log)
	return nil
}

// askHealth asks another process, the worker that listens on addr, whether it is well.
func askHealth(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", http.NoBody)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("check health: %s: %s", resp.Status, bytes.TrimSpace(body))
	}
	return err
}
