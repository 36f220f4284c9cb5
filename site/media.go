package site

import (
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"afterlive.alt/internal/blob"
	"afterlive.alt/player"
)

// Media serves what is watched: the player, and the results in a folder.
func Media(mux *http.ServeMux, dir string, log *zap.Logger) {
	Player(mux, log)
	mux.Handle("/vod/", results(dir))
}

// Player serves the player.
func Player(mux *http.ServeMux, log *zap.Logger) {
	page, err := player.Files()
	if err != nil {
		log.Warn("player", zap.Error(err))
	}
	files := http.StripPrefix("/player/", http.FileServerFS(page))
	mux.HandleFunc("GET /player/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", player.Policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		files.ServeHTTP(w, r)
	})
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
		header.Set("X-Content-Type-Options", "nosniff")
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
