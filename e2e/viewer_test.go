package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// viewer looks at what is published, as somebody behind a CDN does: what a playlist
// names must be there, whole.
type viewer struct{ base string } // URL of the bucket

var mapURI = regexp.MustCompile(`#EXT-X-MAP:URI="([^"]+)"`)

// see follows an asset's pointer and its stable playlist to every segment. It
// returns the job that it saw; "": nothing is published.
func (v viewer) see(ctx context.Context, asset string) (job string, err error) {
	body, status, err := v.get(ctx, http.MethodGet, "vod/"+asset+"/asset.json")
	if err != nil || status == http.StatusNotFound {
		return "", err
	}
	var pointer struct {
		Job     string `json:"job"`
		Ladders []struct {
			Master string `json:"master"`
		} `json:"ladders"`
	}
	if err := json.Unmarshal(body, &pointer); err != nil || pointer.Job == "" || len(pointer.Ladders) == 0 {
		return "", fmt.Errorf("asset.json: %q, %w", body, err)
	}
	for _, l := range pointer.Ladders {
		if err := v.master(ctx, "vod/"+asset+"/"+l.Master); err != nil {
			return pointer.Job, err
		}
	}
	// The stable playlist follows the pointer: between the two, it is still the old one.
	stable := "vod/" + asset + "/master.m3u8"
	if _, status, err := v.get(ctx, http.MethodHead, stable); err != nil || status == http.StatusNotFound {
		return pointer.Job, err
	}
	return pointer.Job, v.master(ctx, stable)
}

func (v viewer) master(ctx context.Context, key string) error {
	body, err := v.must(ctx, http.MethodGet, key)
	if err != nil {
		return err
	}
	lists := uri.FindAllString(string(body), -1)
	for _, m := range audioURI.FindAllStringSubmatch(string(body), -1) {
		lists = append(lists, m[1])
	}
	if len(lists) < 2 {
		return fmt.Errorf("%s names %q", key, lists)
	}
	for _, list := range lists {
		if err := v.media(ctx, beside(key, list)); err != nil {
			return err
		}
	}
	return nil
}

func (v viewer) media(ctx context.Context, key string) error {
	body, err := v.must(ctx, http.MethodGet, key)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(strings.TrimSpace(string(body)), "#EXT-X-ENDLIST") {
		return fmt.Errorf("%s has no end", key)
	}
	files := []string{mapURI.FindStringSubmatch(string(body))[1]}
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			files = append(files, line)
		}
	}
	for _, file := range files {
		if _, err := v.must(ctx, http.MethodHead, beside(key, file)); err != nil {
			return err
		}
	}
	return nil
}

func beside(key, name string) string { return key[:strings.LastIndex(key, "/")+1] + name }

// must get what a playlist has named.
func (v viewer) must(ctx context.Context, method, key string) ([]byte, error) {
	body, status, err := v.get(ctx, method, key)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s is named, and answers %d", key, status)
	}
	return body, err
}

func (v viewer) get(ctx context.Context, method, key string) ([]byte, int, error) {
	request, err := http.NewRequestWithContext(ctx, method, v.base+"/"+key, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode == http.StatusOK && response.ContentLength == 0 {
		err = fmt.Errorf("%s is empty", key)
	}
	return body, response.StatusCode, err
}
