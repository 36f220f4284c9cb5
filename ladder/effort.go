package ladder

import "slices"

// Host is where a worker runs, as far as that can be known.
type Host struct {
	CPUs   float64 `json:"vcpus"`
	Memory int64   `json:"memory_mib"`
	// FARGATE or EC2 as ECS says it, with "spot" or "on-demand" behind it where the
	// host knows: Fargate doesn't tell its spot tasks. Empty: no task of ECS.
	Capacity string `json:"capacity,omitempty"`
	Slots    int    `json:"slots"`
	// USD is what an hour of the whole worker costs; 0: nobody said so.
	USD float64 `json:"usd_per_hour,omitempty"`
}

// Effort is what it took to make something: one attempt at a part, or all that won.
type Effort struct {
	Slot    float64 `json:"slot_s"`   // seconds of a worker's slot, from the task's start to just before the part was written
	Encode  float64 `json:"encode_s"` // of them, fetching included: the two overlap
	Upload  float64 `json:"upload_s"` // of them, for what was left when the encoder had ended
	CPU     float64 `json:"cpu_s"`    // of the encoder, on all cores
	Read    int64   `json:"read_bytes"`
	Written int64   `json:"written_bytes"`
	USD     float64 `json:"usd,omitempty"` // slot_s at the price of a slot
}

// Price sets what an effort on a host costs.
func (e *Effort) Price(h Host) { e.USD = e.Slot / 3600 * h.USD / float64(max(1, h.Slots)) }

// Total is what a recording took: plan and parts, without attempts that were lost,
// and without publishing, which writes a few playlists.
type Total struct {
	Effort

	Scan      float64     `json:"scan_s"`
	PerMinute float64     `json:"usd_per_minute,omitempty"` // of the recording
	Hosts     []HostParts `json:"hosts,omitempty"`
}

// HostParts is a kind of host, and how many parts were made on such.
type HostParts struct {
	Host

	Parts int `json:"parts"`
}

// Sum adds up what a plan and its parts took.
func Sum(plan *Job, parts []Part) Total {
	var t Total
	for _, p := range parts {
		t.add(p)
	}
	return t.of(plan)
}

// add adds what a part took.
func (t *Total) add(p Part) {
	if p.Of != "" { // nobody made it for this
		return
	}
	e := p.Effort
	t.Slot += e.Slot
	t.Encode += e.Encode
	t.Upload += e.Upload
	t.CPU += e.CPU
	t.Read += e.Read
	t.Written += e.Written
	t.USD += e.USD
	i := slices.IndexFunc(t.Hosts, func(h HostParts) bool { return h.Host == p.Host })
	if i < 0 {
		i = len(t.Hosts)
		t.Hosts = append(t.Hosts, HostParts{Host: p.Host})
	}
	t.Hosts[i].Parts++
}

// of adds what the plan of parts took. The scan is priced as on the first part's host.
func (t *Total) of(plan *Job) Total {
	all := *t
	all.Hosts = slices.Clone(t.Hosts)
	scan := Effort{Slot: plan.Scan}
	if len(t.Hosts) > 0 {
		scan.Price(t.Hosts[0].Host)
	}
	all.Scan, all.Slot, all.USD = plan.Scan, t.Slot+scan.Slot, t.USD+scan.USD
	if !plan.Recording.Indexed {
		all.Read += plan.Size
	}
	if f := plan.Fit; f != nil {
		all.Slot += f.Took
		all.CPU += f.CPU
		all.Read += f.Read
	}
	if plan.Duration > 0 {
		all.PerMinute = all.USD / plan.Duration * 60
	}
	return all
}
