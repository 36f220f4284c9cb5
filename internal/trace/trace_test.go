package trace

import (
	"testing"

	"go.uber.org/zap"
)

// What cannot be a receiver is refused at start. (That spans arrive is shown end to end.)
func TestOpen(t *testing.T) {
	for receiver, ok := range map[string]bool{"http://127.0.0.1:4318": true, "https://collector.example.org/tenant": true, "collector:4318": false, "": false, "ftp://collector": false} {
		tracer, err := Open(t.Context(), receiver, "1", "w", zap.NewNop())
		if (err == nil) != ok {
			t.Errorf("%q: %v", receiver, err)
		}
		if err := tracer.Close(t.Context()); err != nil {
			t.Errorf("%q: %v", receiver, err)
		}
	}
}
