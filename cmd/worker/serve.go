package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"afterlive/internal/blob"
	"afterlive/player"
)

// serve listens, and answers in the background: /healthz, /metrics, the player and,
// in a folder, the results.
func (f *flags) serve(ctx context.Context, log *zap.Logger, healthy func() error, metrics prometheus.Gatherer) (*http.Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	if !f.OnAWS() {
		mux.Handle("/vod/", results(f.Data))
	}
	page, err := player.Files()
	if err != nil {
		log.Warn("player", zap.Error(err))
	}
	mux.Handle("GET /player/", http.StripPrefix("/player/", withHeader("Content-Security-Policy", player.Policy, http.FileServerFS(page))))
	mux.Handle("GET /{$}", http.RedirectHandler("/player/", http.StatusFound))
	server := &http.Server{Handler: withHeader("X-Content-Type-Options", "nosniff", mux), ReadHeaderTimeout: 10 * time.Second}
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

// withHeader adds a header to all that h answers.
func withHeader(name, value string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		h.ServeHTTP(w, r)
	})
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

// servePacked serves a small file gzipped, if it may.
func servePacked(w http.ResponseWriter, r *http.Request, f io.Reader) {
	body, err := io.ReadAll(f)
	if err != nil {
		http.Error(w, "cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		body = blob.Pack(body)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client may have gone
	}
}

// results serves the files below dir/vod to any page, with the headers that they
// would have in S3. There are no listings.
func results(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Allow-Headers", "Range")
		header.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range")
		switch r.Method {
		case http.MethodOptions:
			w.WriteHeader(http.StatusNoContent)
			return
		case http.MethodGet, http.MethodHead:
		default:
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		key := strings.TrimPrefix(path.Clean(r.URL.Path), "/") // dots may come escaped, so this is not the pattern's business
		if !strings.HasPrefix(key, "vod/") {
			http.NotFound(w, r)
			return
		}
		f, err := os.Open(filepath.Join(dir, filepath.FromSlash(key)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			http.NotFound(w, r)
			return
		}
		contentType, cacheControl := blob.Headers(key)
		header.Set("Content-Type", contentType)
		header.Set("Cache-Control", cacheControl)
		if blob.Packed(key) {
			servePacked(w, r, f)
			return
		}
		http.ServeContent(w, r, key, info.ModTime(), f)
	})
}
