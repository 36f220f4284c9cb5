package ladder

// The versions of the documents in the store that this program writes, and the newest
// that it understands. One goes up when a program of before would misread the document,
// or leave out what matters; a new field that may be ignored changes none.
const (
	PlanVersion    = PlanTrimmed
	PlanTrimmed    = 6 // something of the recording is to be left out
	PlanClip       = 5 // it is a clip
	PlanGrown      = 4 // of a plan whose recording grew, or whose audio is copied; others are still of PlanOldest
	ChunkVersion   = 1
	EndVersion     = 1
	PartVersion    = 1
	FoldVersion    = 1
	AssetVersion   = 1
	QualityVersion = 1
)

// PlanOldest is the oldest version of a plan that can still be carried out: nothing in it depends on the
// recording's length.
const PlanOldest = 3
