package ladder

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Keep says for how long something is kept; 0: nothing is said.
type Keep struct {
	Recordings Age `yaml:"recordings" json:"recordings,omitempty"` // of assets that are published, since they were planned: they stay published
	Superseded Age `yaml:"superseded" json:"superseded,omitempty"` // results in whose place others are, since then
	Assets     Age `yaml:"assets" json:"assets,omitempty"`         // that are published, since they were planned: all that there is of them; their recordings only if those have an age, too
}

// Check refuses what would leave recordings behind to which nothing leads any more.
func (k Keep) Check() error {
	if k.Assets > 0 && k.Recordings > k.Assets {
		return errors.New("recordings cannot be kept longer than assets: nothing would lead to them any more")
	}
	return nil
}

// Or is k, and what it doesn't say as other has it. An asset is kept as long as its recording, if both are to go: nothing would lead to that any more.
func (k Keep) Or(other Keep) Keep {
	all := Keep{cmp.Or(k.Recordings, other.Recordings), cmp.Or(k.Superseded, other.Superseded), cmp.Or(k.Assets, other.Assets)}
	if all.Assets > 0 {
		all.Assets = max(all.Assets, all.Recordings)
	}
	return all
}

// Youngest is the least of the ages that are set; 0: none is.
func (k Keep) Youngest() (least Age) {
	for _, age := range []Age{k.Recordings, k.Superseded, k.Assets} {
		if age > 0 && (least == 0 || age < least) {
			least = age
		}
	}
	return least
}

// Age is a time for which something is kept.
type Age time.Duration

// MarshalText writes 90d, or 12h0m0s.
func (a Age) MarshalText() ([]byte, error) {
	const day = Age(24 * time.Hour)
	if a > 0 && a%day == 0 {
		return fmt.Appendf(nil, "%dd", a/day), nil
	}
	return []byte(time.Duration(a).String()), nil
}

// UnmarshalText reads 90d, or what time.ParseDuration does.
func (a *Age) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("%q is not a number of days", text)
		}
		*a = Age(n * 24 * float64(time.Hour))
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err == nil && d < 0 {
		err = errors.New("it is negative")
	}
	*a = Age(d)
	return err
}

// UnmarshalYAML reads the same.
func (a *Age) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	return a.UnmarshalText([]byte(text))
}
