package ledger

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"afterlive.alt/ladder"
)

// NewerError is a document of a newer program. A worker that does not understand it leaves
// the task to those that do: in a fleet that is being updated there are some.
type NewerError struct {
	Key          string
	Version, Own int // of the document, and what this program understands
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("read %s: its version is %d, this program understands %d: it was written by a newer version of afterlive: update this one", e.Key, e.Version, e.Own)
}

// LeaveFor is how long a task waits for a worker of that version: a minute or two, each another time.
func (e *NewerError) LeaveFor() time.Duration { return time.Minute + rand.N(time.Minute) }

// understood refuses what a newer program wrote, before it is read as something that it
// may not be; into is what it would be read into.
func understood(key string, body []byte, into any) error {
	var document struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if newest := newest(into); document.Version > newest {
		return &NewerError{Key: key, Version: document.Version, Own: newest}
	}
	return nil
}

// newest is the version of a kind of document that this program understands.
func newest(document any) int {
	switch document.(type) {
	case *ladder.Plan:
		return ladder.PlanVersion
	case *ladder.Chunk:
		return ladder.ChunkVersion
	case *ladder.End:
		return ladder.EndVersion
	case *ladder.Part:
		return ladder.PartVersion
	case *ladder.Fold:
		return ladder.FoldVersion
	case *ladder.Asset:
		return ladder.AssetVersion
	case *ladder.Quality:
		return ladder.QualityVersion
	}
	return math.MaxInt // a failure's note, say: nobody acts on it
}
