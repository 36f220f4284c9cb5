package ladder

// The versions of the documents in the store that this program writes, and the newest
// that it understands. One goes up when a program of before would misread the document,
// or leave out what matters; a new field that may be ignored changes none.
const (
	PlanVersion    = 3 // nothing in it depends on the recording's length
	ChunkVersion   = 1
	EndVersion     = 1
	PartVersion    = 1
	FoldVersion    = 1
	AssetVersion   = 1
	QualityVersion = 1
)
