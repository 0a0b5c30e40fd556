module registry-webhook/bench

go 1.26
