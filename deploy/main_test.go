package deploy_test

import (
	"os"
	"testing"

	"weixin_exporter/internal/repotest"
)

func TestMain(m *testing.M) { os.Exit(repotest.AtTop(m)) }
