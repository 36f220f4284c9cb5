package blob_test

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"afterlive.alt/internal/blob"
	"afterlive.alt/internal/testenv"
)

// The store keeps its promises in a cloud of yours: see "make cloud-test".
func TestYourStore(t *testing.T) {
	cloud, bucket, folder := testenv.Yours(t)
	s := blob.NewS3(cloud.Config, bucket, folder)
	if err := errors.Join(s.CheckReads(t.Context(), "recordings/none"), s.CheckWrites(t.Context(), probe)); err != nil {
		t.Fatal(err)
	}
	conform(t, func(_ *testing.T, name string) contract { return blob.NewS3(cloud.Config, bucket, folder+"/"+name) })
}

var stores = flag.Bool("stores", false, "try S3 servers that take minutes to build (make stores)")

// Each S3 that others wrote keeps the promises of this package, or is refused at the start, in words that say what it lacks.
func TestOtherStores(t *testing.T) {
	if !*stores {
		t.Skip("make stores runs this: it builds three more S3 servers")
	}
	refused := map[string]string{}
	for _, name := range testenv.Others {
		t.Run(name, func(t *testing.T) {
			cloud := testenv.StartOther(t, name)
			cloud.Bucket(t, "checked", false)
			s := blob.NewS3(cloud.Config, "checked", "")
			err := s.CheckReads(t.Context(), "recordings/none")
			if err == nil {
				err = s.CheckWrites(t.Context(), probe)
			}
			if lack, ok := refused[name]; ok {
				if !errors.Is(err, blob.ErrUnfit) || !strings.Contains(err.Error(), lack) {
					t.Errorf("%v, want that it %s", err, lack)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			conform(t, func(t *testing.T, bucket string) contract {
				cloud.Bucket(t, bucket, false)
				return blob.NewS3(cloud.Config, bucket, "")
			})
		})
	}
}
