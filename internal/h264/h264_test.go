package h264

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

var (
	// Configurations as encoders wrote them: 640x360, baseline; 640x322, with a sample aspect
	// ratio of 161:160.
	config640x360 = unhex("0142c01effe100196742c01ed890280bfe5c0440000003004000000c83c58b898001000568c888cb20")
	config640x322 = unhex("0164001effe1001e6764001eacd940a02bf88ffc0284028040000003004000000f03c58b658001000568ebecb22cfcf8f800")
)

// sets are the first parameter sets of a configuration.
func sets(config []byte) (sps, pps []byte) {
	n := int(config[6])<<8 | int(config[7])
	sps = config[8 : 8+n]
	rest := config[8+n:]
	m := int(rest[1])<<8 | int(rest[2])
	return sps, rest[3 : 3+m]
}

// unit is a NAL unit behind its length.
func unit(body []byte) []byte {
	return append([]byte{byte(len(body) >> 24), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func TestConfigure(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config []byte
		size   string
		sar    [2]int
	}{
		{"square pixels", config640x360, "640x360", [2]int{1, 1}},
		{"others", config640x322, "640x322", [2]int{161, 160}},
		{"no picture parameter set", config640x360[:8+25], "640x360", [2]int{1, 1}},
	} {
		var s Stream
		f, err := s.Configure(tc.config)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := [2]int{f.SARNum, f.SARDen}; got != tc.sar || f.Width != 640 || !f.Plain() || f.Colour.Matrix != Unspecified {
			t.Errorf("%s: %+v", tc.name, f)
		}
	}
	for _, size := range []byte{1, 2, 4} {
		config := bytes.Clone(config640x360)
		config[4] = config[4]&0xfc | (size - 1)
		var s Stream
		if _, err := s.Configure(config); err != nil || s.lengthSize != int(size) {
			t.Errorf("lengths of %d bytes: %d, %v", size, s.lengthSize, err)
		}
	}
	for name, bad := range map[string][]byte{
		"nothing":                    nil,
		"another version":            append([]byte{2}, config640x360[1:]...),
		"lengths of 3 bytes":         {1, 66, 0, 30, 0xfe, 0xe0, 0},
		"no sequence parameter set":  {1, 66, 0, 30, 0xff, 0xe0, 0},
		"an empty one":               {1, 66, 0, 30, 0xff, 0xe1, 0, 0, 0},
		"cut short":                  config640x360[:20],
		"a parameter set of garbage": {1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 66, 0},
	} {
		var s Stream
		if f, err := s.Configure(bad); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// A camera that writes its usability information wrongly still has a size.
func TestConfigureDamagedVUI(t *testing.T) {
	sps, pps := sets(config640x322)
	for cut := 1; cut <= 4; cut++ {
		short := sps[:len(sps)-cut]
		config := append([]byte{1, 100, 0, 30, 0xff, 0xe1, 0, byte(len(short))}, short...)
		config = append(append(config, 1, 0, byte(len(pps))), pps...)
		var s Stream
		if f, err := s.Configure(config); err != nil || f.Height != 322 {
			t.Errorf("cut by %d: %+v, %v", cut, f, err)
		}
	}
}

func TestRead(t *testing.T) {
	sps, pps := sets(config640x322)
	slice := []byte{0x65, 0x88, 0x84, 0, 0} // IDR; first macroblock 0, type I, picture parameter set 0
	recovery := []byte{6, 6, 2, 0x15, 0xc0, 0x80}
	captions := append([]byte{6, 4, 14}, append([]byte("\xb5\x00\x31GA94\x03\x41\xff"), 0xfc, 'H', 'I', 0xff, 0x80)...)
	upright := []byte{6, 47, 3, 0x08, 0, 0x40, 0x80} // a quarter: 16384 of 65536
	join := func(units ...[]byte) (all []byte) {
		for _, u := range units {
			all = append(all, unit(u)...)
		}
		return all
	}
	for _, tc := range []struct {
		name    string
		picture []byte
		want    Picture
		height  int
	}{
		{"IDR", join(slice), Picture{IDR: true, Reference: true, Recovery: -1, Rotation: -1}, 360},
		{"behind a delimiter", join([]byte{9, 0x10}, slice), Picture{IDR: true, Reference: true, Recovery: -1, Rotation: -1}, 360},
		{"another that nothing refers to", join([]byte{1, 0x9a, 0}), Picture{Recovery: -1, Rotation: -1}, 360},
		{"a new size", join(sps, pps, slice), Picture{IDR: true, Reference: true, Recovery: -1, Rotation: -1}, 322},
		{"a recovery point", join(recovery, []byte{0x41, 0x9a, 0}), Picture{Reference: true, Recovery: 9, Rotation: -1}, 360},
		{"captions", join(captions, slice), Picture{IDR: true, Reference: true, Recovery: -1, Rotation: -1, Captions: Captions{Field1: true}}, 360},
		{"held upright", join(upright, slice), Picture{IDR: true, Reference: true, Recovery: -1, Rotation: 90}, 360},
		{"a length that is a lie", []byte{0, 0, 0, 200, 0x65}, Picture{Recovery: -1, Rotation: -1}, 360},
		{"a length of zero", []byte{0, 0, 0, 0, 0x65}, Picture{Recovery: -1, Rotation: -1}, 360},
		{"a claim of gigabytes", join(append([]byte{6}, bytes.Repeat([]byte{255}, 60_000)...), slice), Picture{IDR: true, Reference: true, Recovery: -1, Rotation: -1}, 360},
		{"nothing", nil, Picture{Recovery: -1, Rotation: -1}, 360},
	} {
		var s Stream
		if _, err := s.Configure(config640x360); err != nil {
			t.Fatal(err)
		}
		got := s.Read(tc.picture)
		if got.Form.Height != tc.height {
			t.Errorf("%s: %dx%d", tc.name, got.Form.Width, got.Form.Height)
		}
		got.Form = Form{}
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	var s Stream
	if p := s.Read(join(slice)); p.IDR {
		t.Error("without a configuration, nobody knows how long a length is")
	}
}

// A picture whose orientation is forgotten has none, and is the same otherwise.
func TestForgetOrientation(t *testing.T) {
	slice := []byte{0x65, 0x88, 0x84, 0, 0}
	before := append(append(unit([]byte{6, 5, 2, 1, 2, 47, 3, 0x08, 0, 0x40, 0x80}), unit([]byte{6, 47, 3, 0x08, 0, 0x40, 0x80})...), unit(slice)...)
	var s Stream
	if _, err := s.Configure(config640x360); err != nil {
		t.Fatal(err)
	}
	if p := s.Read(before); p.Rotation != 90 {
		t.Fatalf("%+v", p)
	}
	after := bytes.Clone(before)
	ForgetOrientation(after, 4)
	if p := s.Read(after); p.Rotation != -1 || !p.IDR {
		t.Errorf("%+v", p)
	}
	if n := len(before); len(after) != n || !bytes.Equal(after[n-9:], before[n-9:]) {
		t.Errorf("% x", after)
	}
	ForgetOrientation([]byte{0, 0, 0, 1, 6}, 4)
	ForgetOrientation([]byte{0, 0, 0, 2, 6, 47}, 4)
}

// FuzzStream: no bytes do harm.
func FuzzStream(f *testing.F) {
	sps, pps := sets(config640x322)
	f.Add(config640x360, append(append(unit(sps), unit(pps)...), unit([]byte{0x65, 0x88, 0x84})...))
	f.Fuzz(func(t *testing.T, config, picture []byte) {
		var s Stream
		if _, err := s.Configure(config); err != nil {
			return
		}
		p := s.Read(picture)
		ForgetOrientation(picture, 4)
		if f := p.Form; f.Width < 2 || f.Height < 2 || f.Width > MaxSide || f.Height > MaxSide || f.SARNum <= 0 || f.SARDen <= 0 {
			t.Errorf("form %+v", f)
		}
	})
}

// A damaged parameter set claims what it likes, and takes no memory for it.
func TestDamagedSets(t *testing.T) {
	sps, _ := sets(config640x322)
	for at := 1; at < len(sps); at++ {
		for value := range 256 {
			damaged := bytes.Clone(sps)
			damaged[at] = byte(value)
			_, _ = ParseSPS(damaged) // whether it can be read is all the same
		}
	}
}
