package exportertest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/exportertest"
)

func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		err := exportertest.Poll(t.Context(), func() error {
			if tries++; tries == 4 {
				return nil
			}
			return errors.New("not yet")
		})
		if took := time.Since(began); err != nil || tries != 4 || took != 47500*time.Microsecond {
			t.Errorf("%d tries in %v: %v", tries, took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		failure, tries := errors.New("never"), 0
		if err := exportertest.Poll(ctx, func() error { tries++; return failure }); !errors.Is(err, failure) || tries < 4*60 || tries > 4*60+10 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})
}
