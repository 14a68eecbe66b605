role "loop" {
  type    = "component"
  summary = "Needs itself through another"
  needs   = ["bird"]
}
