package main

import (
	"math/rand/v2"
	"slices"

	"afterlive.alt/internal/fleet"
)

const (
	minute = 60.0
	hour   = 60 * minute
	day    = 24 * hour
)

// trace is a story of recordings that end.
type trace struct {
	Name, Title   string
	Recordings    []fleet.Recording
	Length        float64 // seconds
	Interruptions float64 // an hour and task, announced
	Losses        float64 // an hour and task, unannounced
}

// Interruptions as they are on a calm day, and in a storm.
const calm, storm, lostHosts = 0.02, 2.0, 0.002

// kind is what a recording is: its rate in bytes a second, what it costs to encode in
// seconds of a core for each of its own, the renditions that come of it, I-frames among them, and the
// messages of it that may wait for a task.
type kind struct {
	rate, cost float64
	rungs      float64
	target     float64 // 0: the template's
}

var (
	flat   = kind{rate: 6e6 / 8, cost: flatCost, rungs: 6}
	sphere = kind{rate: 25e6 / 8, cost: sphereCost, rungs: 7, target: 3}
)

func recording(end, length float64) fleet.Recording { return fleet.Recording{End: end, Length: length} }

func traces() []trace {
	random := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // it must be repeatable
	spread := func(n int, over, least, most float64) []fleet.Recording {
		var all []fleet.Recording
		for range n {
			all = append(all, recording(random.Float64()*over, least+random.Float64()*(most-least)))
		}
		slices.SortFunc(all, func(a, b fleet.Recording) int {
			if a.End < b.End {
				return -1
			}
			return 1
		})
		return all
	}
	together := make([]fleet.Recording, 50)
	for i := range together {
		together[i] = recording(7*hour+float64(i), hour)
	}
	return []trace{
		{Name: "event", Title: "one event of 3 h, after a quiet night", Recordings: []fleet.Recording{recording(9*hour, 3*hour)}, Length: 10 * hour, Interruptions: calm, Losses: lostHosts},
		{Name: "together", Title: "50 events of 1 h that end together", Recordings: together, Length: 8 * hour, Interruptions: calm, Losses: lostHosts},
		{Name: "day", Title: "a steady day: 200 recordings of 20 to 60 min", Recordings: spread(200, day, 20*minute, hour), Length: day, Interruptions: calm, Losses: lostHosts},
		{Name: "week", Title: "a quiet week: 10 recordings of 1 to 2 h", Recordings: spread(10, 7*day, hour, 2*hour), Length: 7 * day, Interruptions: calm, Losses: lostHosts},
		{Name: "storm", Title: "50 events of 1 h in a storm of interruptions", Recordings: together, Length: 8 * hour, Interruptions: storm, Losses: storm / 10},
		{Name: "many", Title: "a day of 10,000 recordings of 2 to 10 min", Recordings: spread(10000, day, 2*minute, 10*minute), Length: day, Interruptions: calm, Losses: lostHosts},
	}
}
