"""What a result takes from the images: patient, study, geometry, references, equipment, marking."""
