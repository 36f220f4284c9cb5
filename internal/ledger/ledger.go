// Package ledger reads and writes the documents of a job in the store. There is no other database. A plan says what is to be made, a chunk what one task
// reads, a claim who is making it, a part what came of it, a failure why nothing did. docs/contract.md has their layout.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"afterlive.alt/ladder"
)

// Store is where documents are. Write is conditional on the version that the caller has seen (its
// ETag; "": none), and returns [fs.ErrExist] when somebody else was first. Load returns [fs.ErrNotExist].
// Objects are whole or absent.
type Store interface {
	Load(ctx context.Context, key string) (body []byte, etag string, err error)
	Write(ctx context.Context, key string, body []byte, etag string) error
	List(ctx context.Context, prefix string) ([]string, error)
}

// Plan reads a job's plan, if it is of no newer version than this program.
func Plan(ctx context.Context, store Store, id string) (*ladder.Plan, error) {
	var plan ladder.Plan
	if _, err := Load(ctx, store, ladder.PlanKey(id), &plan); err != nil {
		return nil, err
	}
	return &plan, nil
}

// Chunk reads a chunk of a job.
func Chunk(ctx context.Context, store Store, id string, n int) (*ladder.Chunk, error) {
	var chunk ladder.Chunk
	if _, err := Load(ctx, store, ladder.ChunkKey(id, n), &chunk); err != nil {
		return nil, err
	}
	return &chunk, nil
}

// Job reads how a plan's recording has ended. [fs.ErrNotExist]: it has not yet.
func Job(ctx context.Context, store Store, plan *ladder.Plan) (*ladder.Job, error) {
	var end ladder.End
	if _, err := Load(ctx, store, ladder.EndKey(plan.Job), &end); err != nil {
		return nil, err
	}
	return &ladder.Job{Plan: plan, End: &end}, nil
}

// Load reads a document, if it is of no newer version than this program.
func Load(ctx context.Context, store Store, key string, v any) (etag string, err error) {
	body, etag, err := store.Load(ctx, key)
	if err != nil {
		return "", fmt.Errorf("load %s: %w", key, err)
	}
	if err := understood(key, body, v); err != nil {
		return "", err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return etag, nil
}

// Write stores a document if key is still the version etag; won is false where
// somebody else was first.
func Write(ctx context.Context, store Store, key string, v any, etag string) (won bool, err error) {
	body, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	return Put(ctx, store, key, body, etag)
}

// Put stores what is no document, as [Write] does.
func Put(ctx context.Context, store Store, key string, body []byte, etag string) (won bool, err error) {
	err = store.Write(ctx, key, body, etag)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	return true, nil
}
