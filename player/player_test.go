package player

import (
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// The policy lets the page's import map in, and there is nothing else in the page that it
// would keep out.
func TestPolicy(t *testing.T) {
	page, err := fs.ReadFile(web, "web/index.html")
	if err != nil {
		t.Fatal(err)
	}
	inline := regexp.MustCompile(`(?s)<script[^>]*>(.+?)</script>`).FindAllSubmatch(page, -1)
	if len(inline) != 1 {
		t.Fatalf("%d scripts are in the page", len(inline))
	}
	sum := sha256.Sum256(inline[0][1])
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(Policy, want) {
		t.Errorf("the policy lacks %s", want)
	}
	if m := regexp.MustCompile(`\s(style|on[a-z]+)=`).Find(page); m != nil {
		t.Errorf("the policy keeps%s out", m)
	}
}
