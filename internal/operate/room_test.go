package operate

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"afterlive.alt/internal/catalog"
	"afterlive.alt/internal/testenv"
)

// Room is made by what can be spared, the oldest first, and no more than is needed. What is published, has failed or is at work stays.
func TestMakeRoom(t *testing.T) {
	fill := func() *testenv.Memory {
		store := testenv.NewMemory()
		for n, days := range []float64{0, 1, 30} {
			aged(t, store, n, days, catalog.Published)
		}
		aged(t, store, 4, 100, catalog.Failed)
		aged(t, store, 5, 100, catalog.Working)
		aged(t, store, 6, 3, catalog.Superseded)
		return store
	}
	for _, tc := range []struct {
		name   string
		needed int // things that must go
		want   []string
		err    error
	}{
		{"there is room", 0, nil, nil},
		{"a result that was replaced goes first", 1, []string{"superseded live/superseded-6"}, nil},
		{"then recordings, the oldest first", 3, []string{"superseded live/superseded-6", "recording live/published-2", "recording live/superseded-6"}, nil},
		{"nothing more can be spared", 99, []string{"superseded live/superseded-6", "recording live/published-2", "recording live/superseded-6", "recording live/published-1", "recording live/published-0"}, ErrNoRoom},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := fill()
			var went []string
			err := Operator{Store: store}.MakeRoom(t.Context(), store, func() (bool, error) { return len(went) >= tc.needed, nil }, false, func(p Pruned) {
				went = append(went, p.What+" "+p.Status.Asset)
			})
			if !errors.Is(err, tc.err) || !slices.Equal(went, tc.want) {
				t.Errorf("went %q, %v", went, err)
			}
			for key := range fill().Objects {
				stays := strings.HasPrefix(key, "vod/live/published") || strings.Contains(key, "live/failed") || strings.Contains(key, "live/working")
				if _, _, err := store.Get(key); stays && err != nil {
					t.Errorf("%s is gone", key)
				}
			}
		})
	}
	store := fill()
	before := slices.Sorted(maps.Keys(store.Objects))
	told := 0
	if err := (Operator{Store: store}).MakeRoom(t.Context(), store, func() (bool, error) { return false, nil }, true, func(Pruned) { told++ }); err != nil || told != 5 {
		t.Errorf("a dry run tells of %d, %v", told, err)
	}
	if now := slices.Sorted(maps.Keys(store.Objects)); !slices.Equal(now, before) {
		t.Error("a dry run removes")
	}
}
