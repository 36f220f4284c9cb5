package site

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// Access says who is an operator. Everybody else is a viewer, who sees recordings alone.
type Access struct {
	tokens [][sha256.Size]byte
	header string
}

// minToken is the least length of a token, in characters.
const minToken = 16

// NewAccess takes the operators' tokens, one a line, from a file and as they are, and heeds a header that a proxy in front sets for them alone. All
// may be empty.
func NewAccess(file, tokens, header string) (a Access, err error) {
	a.header = header
	if file == "" && tokens == "" {
		return a, nil
	}
	if file != "" {
		body, err := os.ReadFile(file)
		if err != nil {
			return a, fmt.Errorf("read tokens: %w", err)
		}
		tokens += "\n" + string(body)
	}
	where := cmp.Or(file, "$AFTERLIVE_TOKENS")
	for line := range strings.Lines(tokens) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if len(line) < minToken {
			return a, fmt.Errorf("read tokens: one in %s has fewer than %d characters (make one: openssl rand -hex 16)", where, minToken)
		}
		a.tokens = append(a.tokens, sha256.Sum256([]byte(line)))
	}
	if len(a.tokens) == 0 {
		return a, errors.New("read tokens: there are none in " + where)
	}
	return a, nil
}

// Operator tells whether a request is an operator's.
func (a Access) Operator(r *http.Request) bool {
	if a.header != "" && r.Header.Get(a.header) != "" {
		return true
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum, found := sha256.Sum256([]byte(token)), 0
	for _, t := range a.tokens {
		found |= subtle.ConstantTimeCompare(sum[:], t[:])
	}
	return ok && found == 1
}

// operators keeps a handler for them.
func (s *Site) operators(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) (any, error) {
		switch {
		case s.Access.Operator(r):
			return h(w, r)
		case len(s.Access.tokens) == 0 && s.Access.header == "":
			return nil, problemf(http.StatusUnauthorized, "operators alone see this, and none are known: start with --token-file FILE")
		}
		return nil, problemf(http.StatusUnauthorized, "operators alone see this")
	}
}
