role "broken" {
  type    = "service"
  summary = "A string that is not closed
}
