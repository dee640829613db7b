"""Widgets, a module for each lesson. Each draws a static picture first, and works by keyboard."""
