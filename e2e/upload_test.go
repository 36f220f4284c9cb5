package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"afterlive.alt/internal/testenv"
)

// serving is an "enqueue serve" that takes uploads.
type serving struct {
	*testing.T

	address, data, tokens, folder string
	process                       *exec.Cmd
}

func (s *serving) start() {
	s.Helper()
	s.process = exec.Command(filepath.Join(bin, "enqueue"), "serve", "--listen", s.address, "--data", s.data, "--token-file", s.tokens, "--uploads", s.folder)
	s.process.Env = testenv.Environ(s.T)
	must(s.T, s.process.Start())
	eventually(s.T, patience, "it serves", func() bool {
		resp, err := http.Get("http://" + s.address + "/api/v1/site")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
}

func (s *serving) end(signal syscall.Signal) {
	s.Helper()
	must(s.T, s.process.Process.Signal(signal))
	if err := s.process.Wait(); err != nil && signal == syscall.SIGTERM {
		s.Errorf("serve ended with %v", err)
	}
}

// ask sends a request of tus.
func (s *serving) ask(method, path string, body []byte, headers ...string) *http.Response {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), method, "http://"+s.address+path, bytes.NewReader(body))
	must(s.T, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	request.Header.Set("Tus-Resumable", "1.0.0")
	request.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := http.DefaultClient.Do(request)
	must(s.T, err)
	must(s.T, resp.Body.Close())
	return resp
}

// A recording is uploaded by HTTP, and goes on where it was when the server was killed half-way; also from a page, by an operator.
func TestUploadedRecording(t *testing.T) {
	testenv.InTurn(t)
	alongside(t)
	data := t.TempDir()
	s := &serving{T: t, address: "127.0.0.1:" + testenv.FreePort(t), data: data, tokens: filepath.Join(t.TempDir(), "tokens"), folder: filepath.Join(t.TempDir(), "uploads")}
	writeFile(t, s.tokens, operatorToken+"\n")
	startWorker(t, "--data", data)
	s.start()
	file := source(t, "320x180", 25, 5)
	body, err := os.ReadFile(file)
	must(t, err)
	pair := func(name, text string) string { return name + " " + base64.StdEncoding.EncodeToString([]byte(text)) }
	made := s.ask(http.MethodPost, "/api/v1/uploads", nil, "Upload-Length", fmt.Sprint(len(body)), "Upload-Metadata", pair("as", "live/sent")+","+pair("profile", "quick")+","+pair("title", "Sent")+","+pair("trim_start_s", "1"))
	_, path, found := strings.Cut(made.Header.Get("Location"), s.address)
	if made.StatusCode != http.StatusCreated || !found {
		t.Fatalf("%s %v", made.Status, made.Header)
	}
	kind := []string{"Content-Type", "application/offset+octet-stream"}
	half := len(body) / 2
	s.ask(http.MethodPatch, path, body[:half], append(kind, "Upload-Offset", "0")...)
	s.end(syscall.SIGKILL)
	s.start()
	if at := s.ask(http.MethodHead, path, nil).Header.Get("Upload-Offset"); at != fmt.Sprint(half) {
		t.Errorf("it is at %s, not %d", at, half)
	}
	last := s.ask(http.MethodPatch, path, body[half:], append(kind, "Upload-Offset", fmt.Sprint(half))...)
	if last.StatusCode != http.StatusNoContent || len(last.Header.Get("Afterlive-Job")) != 16 {
		t.Fatalf("%s %v", last.Status, last.Header)
	}
	enqueue(t, "status", "--watch", "--timeout", patience.String(), "--data", data, "live/sent")
	p := page{openBrowser(t), nil}
	p.navigate("http://" + s.address + "/")
	p.run("sessionStorage.setItem('afterlive-token', " + quoted(operatorToken) + ")")
	p.navigate("http://" + s.address + "/")
	p.wait("document.querySelector('.gallery .name')?.textContent === 'Sent' && document.querySelector('.poster').textContent.includes('0:04')")
	p.uploads(file)
	enqueue(t, "status", "--watch", "--timeout", patience.String(), "--data", data, "from/a page")
	left, err := filepath.Glob(s.folder + "/*")
	if left = slices.DeleteFunc(left, func(name string) bool { return strings.HasSuffix(name, ".sent") }); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	s.end(syscall.SIGTERM)
}

// uploads sends a file, and what is none, from the page.
func (p page) uploads(file string) {
	p.Helper()
	axe, err := os.ReadFile(testenv.Root() + "/player/node_modules/axe-core/axe.min.js")
	must(p.T, err)
	text := filepath.Join(p.TempDir(), "text.flv")
	writeFile(p.T, text, "no recording")
	p.tabTo("e.tagName === 'SUMMARY'")
	p.press(kb.Enter)
	p.accessible(axe)
	for _, try := range []struct{ file, name, says string }{{text, "none", "cannot be published"}, {file, "from/a page", "It is uploaded"}} {
		must(p.T, chromedp.Do(p.ctx, chromedp.SetUploadFiles("#upload-file", []string{try.file})))
		p.tabTo("e.id === 'upload-name'")
		p.run("document.getElementById('upload-name').value = ''")
		p.press(strings.Split(try.name, "")...)
		if try.file == file {
			p.run("document.getElementById('upload-profile').value = 'quick'")
			// What the server answers to the last of it gets lost: nothing is sent again.
			p.run(`{
				const real = fetch;
				window.begun = window.lost = 0;
				window.fetch = async (address, how) => {
					const answer = await real(address, how);
					if (how?.method === "POST") window.begun++;
					if (how?.method === "PATCH" && window.lost++ === 0) throw new TypeError("the answer is lost");
					return answer;
				};
			}`)
		}
		p.tabTo("e.id === 'upload'")
		p.press(kb.Enter)
		p.wait("document.querySelector('#uploading [role=status]').textContent.includes(" + quoted(try.says) + ")")
	}
	if seen := evaluate[[]int](p.browser, "[window.begun, window.lost]"); !slices.Equal(seen, []int{1, 1}) {
		p.Errorf("uploads begun, parts sent: %v", seen)
	}
}
