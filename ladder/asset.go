package ladder

import "time"

// Asset is what a player and an operator need to know of a published recording,
// stored as vod/<asset>/asset.json. It is also the pointer: Job is the job whose
// result is the asset, and it changes only by compare-and-swap.
type Asset struct {
	Version   int           `json:"v"`
	Job       string        `json:"job"`
	Planned   time.Time     `json:"planned"`         // of two jobs of one asset, the later planned one wins
	Chosen    time.Time     `json:"chosen,omitzero"` // when an operator brought this job back: counts in place of planned
	Title     string        `json:"title,omitempty"` // what people call it
	Titled    time.Time     `json:"titled,omitzero"` // since when; without a title, since when it has none any more
	Profile   string        `json:"profile"`
	Recording string        `json:"recording"`           // its key
	Trimmed   *Trimmed      `json:"trimmed,omitempty"`   // what of the recording was left out, as its sender asked for
	Clip      *ClipOf       `json:"clip,omitempty"`      // it is a part of another asset
	Live      bool          `json:"live,omitempty"`      // the recording grows, and this is how far it is
	Began     time.Time     `json:"began,omitzero"`      // when its first moment was recorded, if that is known
	Waiting   time.Time     `json:"waiting,omitzero"`    // the publisher is gone, and until then it may come back, and the event go on
	Abandoned bool          `json:"abandoned,omitempty"` // the recorder went away: what it had not shipped is missing
	Duration  float64       `json:"duration_s"`
	FrameRate float64       `json:"frame_rate,omitempty"`
	Master    string        `json:"master"`            // the default ladder's, relative to this file
	Quality   string        `json:"quality,omitempty"` // where its measured quality is, relative to this file, or will be
	Ladders   []AssetLadder `json:"ladders"`
	Effort    Total         `json:"effort"`

	Poster     string `json:"poster,omitempty"`     // a JPEG, relative to this file
	Storyboard string `json:"storyboard,omitempty"` // WebVTT thumbnails, likewise

	Fit []FitRung `json:"fit,omitempty"` // what was decided of rungs by what was measured of them, where the recording grew

	Origins         []Origin        `json:"origins,omitempty"` // that recorded it, in turns, if they were several
	Discontinuities []Discontinuity `json:"discontinuities,omitempty"`
	Missing         []Missing       `json:"missing,omitempty"` // of the recording
}

// Trimmed is what a [Trim] left out of the recording, in seconds.
type Trimmed struct {
	Start float64 `json:"start_s"`
	End   float64 `json:"end_s"`
}

// ClipOf is where in another asset a clip is.
type ClipOf struct {
	Asset string  `json:"asset"`
	From  float64 `json:"from_s"` // seconds
	To    float64 `json:"to_s"`
}

// Outranks tells whether a job that is planned, but not chosen by an operator, must leave
// the pointer as it is.
func (a Asset) Outranks(p *Plan) bool {
	since := a.Planned
	if a.Chosen.After(since) {
		since = a.Chosen
	}
	return a.Job != p.Job && since.After(p.Created)
}

// Succeeds tells whether the asset, as one of its jobs has it, takes the place of what the same job had
// made before: what grows is replaced by what is longer, and in the end by the whole.
func (a Asset) Succeeds(before Asset) bool {
	return before.Live && (!a.Live || a.Duration > before.Duration)
}

// Title is what people call an asset since a moment: of two, the later one counts.
//
// Stored as jobs/<job>/title.json if the message of a job's recording brought it.
type Title struct {
	Text string    `json:"title"`
	At   time.Time `json:"at"`
}

// TitleKey is where that is.
func TitleKey(job string) string { return JobPrefix(job) + "title.json" }

// AssetLadder is one multivariant playlist of an asset.
type AssetLadder struct {
	Name       string           `json:"name"`
	Projection Projection       `json:"projection,omitempty"` // empty: audio only
	Layout     *Layout          `json:"layout,omitempty"`     // of the faces of a cube
	Master     string           `json:"master"`               // relative to asset.json
	Renditions []AssetRendition `json:"renditions,omitempty"`
	Frames     string           `json:"iframes,omitempty"` // playlist of its I-frames, relative to asset.json
}

// AssetRendition is one rendition as it turned out.
type AssetRendition struct {
	Name      string `json:"name"`
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	Codecs    string `json:"codecs"`
	Average   int    `json:"average_bandwidth"` // bit/s, the video alone
	Peak      int    `json:"peak_bandwidth"`
	MediaList string `json:"playlist"` // relative to asset.json
}

// Asset describes the presentation as published.
func (p *Presentation) Asset() Asset {
	plan := p.plan
	a := Asset{
		Version: AssetVersion, Job: plan.Job, Planned: plan.Created, Profile: plan.Profile,
		Recording: plan.Recording.Key, Live: p.event, Abandoned: plan.Abandoned, Duration: plan.Duration, Master: MasterFile,
		Effort: p.fold.Effort.of(plan), Origins: plan.Origins, Discontinuities: plan.Discontinuities, Missing: p.Missing(),
	}
	if !plan.Live.IsZero() {
		a.Began = plan.Live.Add(plan.Begins + plan.Rate.Time(plan.First()) + p.fold.away(plan.First())).Round(time.Millisecond)
	}
	if t := plan.Trim; t != (Trim{}) && plan.Clip == nil {
		a.Trimmed = &Trimmed{t.Start.Seconds(), t.End.Seconds()}
	}
	if c := plan.Clip; c != nil {
		a.Clip = &ClipOf{c.Asset, plan.seconds(c.From), plan.seconds(c.To)}
	}
	if len(plan.Ladders) == 0 {
		a.Ladders = []AssetLadder{{Name: AudioLadder, Master: plan.Job + "/" + AudioLadder + "/" + p.MasterFile()}}
		return a
	}
	a.FrameRate = plan.Rate.FPS()
	if plan.Storyboard != nil {
		a.Storyboard = plan.Job + "/" + StoryboardFolder + "/" + p.StoryboardFile()
		poster := p.fold.Images[plan.poster()].Poster
		if plan.Clip != nil && plan.Clip.Poster != "" {
			poster = &Image{URI: plan.Clip.Poster}
		}
		if poster != nil {
			a.Poster = plan.Job + "/" + StoryboardFolder + "/" + poster.URI
		}
	}
	if plan.Quality > 0 && !p.event {
		a.Quality = plan.Job + "/" + QualityFile
	}
	for i, l := range plan.Ladders {
		folder := plan.Job + "/" + l.Name + "/"
		out := AssetLadder{Name: l.Name, Projection: l.Projection, Master: folder + p.MasterFile()}
		switch l.Projection {
		case Cubemap:
			out.Layout = &l.Layout
		case EquiAngular:
			out.Layout = &eacLayout
		}
		renditions, rungs := p.renditions(i)
		a.Fit = append(a.Fit, rungs...)
		for _, r := range renditions {
			t := p.fold.Tracks[l.Name+"/"+r.Name]
			average, peak := p.bandwidth(t)
			out.Renditions = append(out.Renditions, AssetRendition{
				Name: r.Name, Width: r.Width, Height: r.Height, Codecs: t.Codecs,
				Average: average, Peak: peak, MediaList: folder + r.Name + "/" + p.MediaFile(),
			})
		}
		if l.IFrames != nil {
			out.Frames = folder + IFramesRendition + "/" + p.MediaFile()
		}
		a.Ladders = append(a.Ladders, out)
	}
	return a
}
