package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"afterlive.alt/job"
	"afterlive.alt/ladder"
)

// collectImages verifies and uploads what a chunk has made for the storyboard. Like
// segments, images carry the attempt in their names.
func (p *Pipeline) collectImages(ctx context.Context, plan *ladder.Plan, w work, folder, attempt string) (made ladder.Images, err error) {
	if w.args == nil || len(plan.Tiles(w.chunk.Span)) == 0 {
		return made, nil
	}
	folder = filepath.Join(folder, ladder.StoryboardFolder)
	group, ctx := errgroup.WithContext(ctx)
	take := func(file string, image ladder.Image) (ladder.Image, error) {
		file = filepath.Join(folder, file)
		size, err := checkImage(file, image.Width, image.Height)
		if err != nil {
			return image, job.Transient("bad_output", fmt.Errorf("verify storyboard: %w", err))
		}
		image.URI = w.part + "-" + strings.TrimSuffix(filepath.Base(file), ".jpg") + "-" + attempt + ".jpg"
		image.Bytes = size
		group.Go(func() error {
			err := p.Store.Upload(ctx, plan.Key(ladder.StoryboardFolder, image.URI), file)
			p.Metrics.bytes.WithLabelValues("written").Add(float64(size))
			if err != nil && !errors.Is(err, fs.ErrExist) { // our own upload, whose answer got lost
				return fmt.Errorf("upload %s: %w", image.URI, err)
			}
			return nil
		})
		return image, nil
	}
	width, height := plan.SheetSize(w.chunk.Span)
	for n, tiles := range plan.Sheets(w.chunk.Span) {
		sheet, fault := take(ladder.SheetFile(n), ladder.Image{Tiles: tiles, Width: width, Height: height})
		err = errors.Join(err, fault)
		made.Sheets = append(made.Sheets, sheet)
	}
	if s := plan.Storyboard; plan.HasPoster(w.chunk.Number) {
		poster, fault := take(ladder.PosterFile, ladder.Image{Width: s.PosterWidth, Height: s.PosterHeight})
		err = errors.Join(err, fault)
		made.Poster = &poster
	}
	return made, errors.Join(err, group.Wait())
}

// checkImage decodes a JPEG, and returns how long the file is.
func checkImage(file string, width, height int) (size int64, err error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	decoded, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", filepath.Base(file), err)
	}
	if b := decoded.Bounds(); b.Dx() != width || b.Dy() != height {
		return 0, fmt.Errorf("%s is %dx%d, by the plan %dx%d", filepath.Base(file), b.Dx(), b.Dy(), width, height)
	}
	return int64(len(body)), nil
}
